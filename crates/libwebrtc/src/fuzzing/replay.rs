//! What the fuzzers have kept, once more: a quick look at what they spend minutes on.

use std::{fs, path::PathBuf};

/// Runs a target on every file of its corpus.
fn replay(name: &str, target: fn(&[u8])) {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let files = fs::read_dir(corpus.join(name)).expect("a corpus");
    let mut count = 0;
    for file in files {
        let path = file.expect("a file").path();
        let data = fs::read(&path).expect("its bytes");
        // Names the input where the target panics.
        println!("{}", path.display());
        target(&data);
        count += 1;
    }
    assert!(count > 0, "the corpus of {name} is empty");
}

macro_rules! replays {
    ($($target:ident)*) => {
        $(
            #[test]
            fn $target() {
                replay(stringify!($target), super::$target);
            }
        )*
    };
}

replays!(candidate datagrams e2ee framing playout red relay sdp server_url stun_answer);
