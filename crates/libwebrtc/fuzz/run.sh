#!/usr/bin/env bash
# Builds and runs fuzz targets; `./dev fuzz` calls it with cargo-fuzz on PATH.
#   run.sh [--seconds N] [--at-once N] [--keep] [TARGET…]
# Progress and failures go to stderr; the last line of stdout is one JSON object. What is found on
# the way is kept under target/fuzz/found, and with --keep a part of it in corpus/ afterwards.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
readonly FUZZ=crates/libwebrtc/fuzz
readonly WORK=target/fuzz
readonly FOUND=$WORK/found

# What an input may take, in MiB and seconds. The engine bounds what it keeps to a few MiB; the
# rest is the fuzzer, its corpus and the C allocator's reserve. An input takes milliseconds, and one
# that takes seconds is a loop or is quadratic; but the clock is the wall's, and machines that are
# shared stand still for ten seconds now and then.
readonly MEMORY=512
readonly TIMEOUT=60

# Longest input, in bytes: longer ones only repeat, and take the fuzzer's time.
longest() {
    case $1 in
    sdp) echo 16384 ;;
    candidate | server_url) echo 600 ;;
    *) echo 4096 ;;
    esac
}

# What is kept of a target's corpus in the tree: enough to begin with and to replay in tests.
readonly KEPT_FILES=50
readonly KEPT_BYTES=100000

seconds=60 at_once=2 keep=0 targets=()
while (($# > 0)); do
    case $1 in
    --seconds) seconds=$2 && shift 2 ;;
    --at-once) at_once=$2 && shift 2 ;;
    --keep) keep=1 && shift ;;
    -*) echo "run.sh: there is no option $1" >&2 && exit 2 ;;
    *) targets+=("$1") && shift ;;
    esac
done
if ((${#targets[@]} == 0)); then
    mapfile -t targets < <(cargo fuzz list --fuzz-dir "$FUZZ")
fi

cargo_fuzz() { cargo fuzz "$1" --fuzz-dir "$FUZZ" --target-dir "$WORK" --sanitizer none "${@:2}"; }

echo "» build ${#targets[@]} fuzz targets" >&2
cargo_fuzz build >&2
host=$(rustc -vV | sed -n 's/^host: //p')
# Copies, which stay as they are while the next build is made.
mkdir -p "$WORK/bin"
for name in "${targets[@]}"; do
    cp --remove-destination "$WORK/$host/release/$name" "$WORK/bin/$name"
done

# run TARGET : fuzzes it with its output in a file.
run() {
    local name=$1 found=$FOUND/$1 crashes=$WORK/crashes/$1/
    mkdir -p "$found" "$crashes" "$FUZZ/corpus/$name"
    "$WORK/bin/$name" "$found" "$FUZZ/corpus/$name" \
        -max_total_time="$seconds" -rss_limit_mb="$MEMORY" -timeout="$TIMEOUT" \
        -max_len="$(longest "$name")" -artifact_prefix="$crashes" -print_final_stats=1 \
        >"$WORK/$name.log" 2>&1
}

last() { sed -n "s/$2/\1/p" "$WORK/$1.log" | tail -n 1; }

declare -A begun ended status pids
running=() waiting=("${targets[@]}") said=$SECONDS
trap 'kill "${pids[@]}" 2>/dev/null || true; exit 130' INT TERM
while ((${#running[@]} + ${#waiting[@]} > 0)); do
    while ((${#running[@]} < at_once && ${#waiting[@]} > 0)); do
        name=${waiting[0]} waiting=("${waiting[@]:1}")
        echo "» fuzz $name for $seconds s" >&2
        run "$name" &
        pids[$name]=$! begun[$name]=$SECONDS
        running+=("$name")
    done
    sleep 1
    still=()
    for name in "${running[@]}"; do
        if kill -0 "${pids[$name]}" 2>/dev/null; then
            still+=("$name")
            continue
        fi
        status[$name]=0
        wait "${pids[$name]}" || status[$name]=$?
        unset "pids[$name]"
        ended[$name]=$SECONDS
        ((status[$name] == 0)) || tail -n 40 "$WORK/$name.log" >&2
    done
    running=("${still[@]}")
    if ((SECONDS - said >= 30)); then
        said=$SECONDS
        for name in "${running[@]}"; do
            printf '  … %s, %s s: %s\n' "$name" "$((SECONDS - begun[$name]))" "$(last "$name" '^\(#[0-9].*\)')" >&2
        done
    fi
done

# keep_some TARGET : of the inputs that together reach everything, as many as there is room for, those
# written by hand first. Which ones is left to chance: their names are hashes.
keep_some() {
    local name=$1 merged=$WORK/merged/$1 corpus=$FUZZ/corpus/$1 bytes=0 count=0 size file
    rm -rf "$merged" && mkdir -p "$merged"
    "$WORK/bin/$name" -merge=1 -rss_limit_mb="$MEMORY" -timeout="$TIMEOUT" \
        "$merged" "$FOUND/$name" "$corpus" >"$WORK/$name.merge.log" 2>&1
    # Those with a name were written by hand.
    find "$corpus" -type f -regextype posix-extended -regex '.*/[0-9a-f]{40}' -delete
    for file in "$corpus"/*; do
        [[ -f $file ]] || continue
        bytes=$((bytes + $(stat -c %s "$file"))) count=$((count + 1))
    done
    while read -r size file; do
        ((count < KEPT_FILES && bytes + size <= KEPT_BYTES)) || continue
        cp "$file" "$corpus/"
        bytes=$((bytes + size)) count=$((count + 1))
    done < <(find "$merged" -type f -printf '%s %p\n' | sort -k 2)
    echo "  kept $count inputs of $name, $bytes bytes" >&2
}

failed=0 results=()
for name in "${targets[@]}"; do
    crashes=$(find "$WORK/crashes/$name" -type f | wc -l)
    ((status[$name] == 0 && crashes == 0)) || failed=1
    ((keep == 0)) || keep_some "$name"
    results+=("$(printf '{"name":"%s","runs":%d,"seconds":%d,"crashes":%d,"corpus":%d}' "$name" \
        "$(last "$name" '^stat::number_of_executed_units: *\([0-9]*\)')" "$((ended[$name] - begun[$name]))" \
        "$crashes" "$(find "$FOUND/$name" -type f | wc -l)")")
done
printf '{"targets":[%s]}\n' "$(IFS=, && echo "${results[*]}")"
exit "$failed"
