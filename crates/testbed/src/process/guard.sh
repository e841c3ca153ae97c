last_signal=$1
scratch=$2
shift 2

# Standard input is the owner's pipe. Commands in the background get another
# standard input, so keep the pipe as 3.
exec 3<&0

"$@" </dev/null 3<&- &
server=$!

(
    while read -r signal <&3; do
        kill -"$signal" "$server"
    done
    # The owner is gone. A process that stands still cannot end.
    kill -"$last_signal" "$server"
    kill -CONT "$server"
    exit 0
) >/dev/null 2>&1 &
watcher=$!

wait "$server"
status=$?

# The watcher ends by itself only when the owner is gone.
kill "$watcher" 2>/dev/null
wait "$watcher"
if [ $? -eq 0 ]; then
    rm -rf "$scratch" 2>/dev/null
fi
exit "$status"
