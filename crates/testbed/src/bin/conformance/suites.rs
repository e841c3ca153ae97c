//! Which of the SDK's tests run, and which are left out and why.
//!
//! Policy: every test that the SDK's crate lists is either run or left out by
//! name. A test that a new version of the SDK brings is in neither table, or
//! changes a suite's count, and fails the command until somebody has looked at it.

use std::collections::BTreeSet;

/// A part of the SDK's end-to-end tests.
pub(crate) struct Suite {
    /// As it stands in the table; `--suite` takes any part of it.
    pub(crate) name: &'static str,
    /// The SDK's test targets.
    pub(crate) targets: &'static [&'static str],
    /// How many tests they have in `livekit` 0.10.0, each generated case counted.
    pub(crate) tests: usize,
    /// Tests with a time of their own in them, which run while nothing else does.
    pub(crate) alone: &'static [&'static str],
}

/// What runs.
pub(crate) const SUITES: [Suite; 10] = [
    Suite {
        name: "audio",
        targets: &["audio_test"],
        tests: 1,
        // Measures the frequency of what arrives.
        alone: &["test_audio"],
    },
    Suite {
        name: "room",
        targets: &["room_test"],
        tests: 6,
        alone: &[],
    },
    Suite {
        name: "data channel",
        targets: &["data_channel_test", "data_channel_encryption"],
        tests: 3,
        alone: &[],
    },
    Suite {
        name: "data stream",
        targets: &["data_stream_test"],
        tests: 7,
        alone: &[],
    },
    Suite {
        name: "data track",
        targets: &["data_track_test"],
        tests: 15,
        // The one wants a duration met within 20 ms, the other 256 answers of the
        // server in 5 s.
        alone: &["test_published_state", "test_publish_many_tracks"],
    },
    Suite {
        name: "RPC",
        targets: &["rpc_test"],
        tests: 7,
        alone: &[],
    },
    Suite {
        name: "engine lifecycle",
        targets: &["engine_lifecycle_test"],
        tests: 1,
        alone: &[],
    },
    Suite {
        name: "reconnection",
        targets: &["reconnection_test"],
        tests: 8,
        alone: &[],
    },
    Suite {
        name: "schema storage",
        targets: &["schema_storage_test"],
        tests: 6,
        alone: &[],
    },
    Suite {
        name: "signalling",
        targets: &["peer_connection_signaling_test"],
        tests: 27,
        alone: &[],
    },
];

/// Tests that are not run.
pub(crate) struct LeftOut {
    /// The SDK's test target.
    pub(crate) target: &'static str,
    /// Why.
    pub(crate) reason: &'static str,
    /// All its tests, by name.
    pub(crate) tests: &'static [&'static str],
}

/// What does not run. The engine moves no video frames and has no devices.
pub(crate) const LEFT_OUT: [LeftOut; 5] = [
    LeftOut {
        target: "video_test",
        reason: "moves video frames",
        tests: &["test_video"],
    },
    LeftOut {
        target: "dynacast_test",
        reason: "moves video frames: layers that are encoded only while somebody looks",
        tests: &[
            "test_dynacast",
            "test_dynacast_layers_stay_paused_after_renegotiation",
            "test_dynacast_without_video_send_encodings",
            "test_dynacast_multiple_subscribers_only_publish_requested_tracks",
        ],
    },
    LeftOut {
        target: "packet_trailer_test",
        reason: "moves video frames: data that rides behind each",
        tests: &[
            "test_timestamp_only_vp8",
            "test_frame_id_only_vp8",
            "test_timestamp_and_frame_id_vp8",
            "test_timestamp_and_frame_id_vp8_e2ee",
            "test_user_data_only_vp8",
            "test_user_data_with_timestamp_and_frame_id_vp8",
            "test_user_data_vp8_e2ee",
            "test_user_data_oversize_dropped_vp8",
            "test_timestamp_and_frame_id_av1",
            "test_user_data_with_timestamp_and_frame_id_av1",
        ],
    },
    LeftOut {
        target: "platform_audio_test",
        reason: "needs a microphone and speakers, or else ends without a check",
        tests: &[
            "test_platform_audio_standalone_creation",
            "test_platform_audio_standalone_ref_counting",
            "test_platform_audio_standalone_device_selection",
            "test_platform_audio_invalid_device_id_returns_device_not_found",
            "test_platform_audio_device_selection_by_index",
            "test_platform_audio_standalone_processing_config",
            "test_platform_audio_standalone_reset",
            "test_platform_audio_standalone_lifecycle",
            "test_platform_audio_creation",
            "test_platform_audio_ref_counting",
            "test_platform_audio_device_enumeration",
            "test_platform_audio_device_selection",
            "test_platform_audio_release",
            "test_platform_audio_with_native_source",
            "test_platform_audio_room_connection",
            "test_platform_audio_two_participants",
            "test_platform_audio_device_switching",
            "test_reset_platform_audio",
            "test_platform_audio_hardware_availability",
            "test_platform_audio_configure_processing",
            "test_platform_audio_individual_controls",
            "test_platform_audio_processing_with_room",
            "test_adm_proxy_platform_ref_counting",
            "test_adm_proxy_recording_enabled_flag",
            "test_adm_proxy_playout_enabled_flag",
            "test_adm_proxy_playout_mode_switching",
            "test_adm_proxy_recording_mode_switching",
            "test_platform_audio_adm_lifecycle",
            "test_adm_proxy_rapid_mode_changes",
        ],
    },
    LeftOut {
        target: "platform_audio_test",
        reason: "of the SDK's types for microphones and speakers; nothing of the engine is called",
        tests: &[
            "test_audio_error_display",
            "test_audio_error_equality",
            "test_audio_error_clone",
            "test_audio_result_ok",
            "test_audio_result_err",
            "test_rtc_audio_source_device",
            "test_audio_processing_options_default",
            "test_audio_processing_options_custom",
            "test_audio_processing_type_default",
            "test_audio_processing_type_variants",
            "test_audio_processing_options_clone",
        ],
    },
];

/// What is wrong with the tables, given what the SDK's crate lists: one line each.
pub(crate) fn objections(listed: &[(String, Vec<String>)]) -> Vec<String> {
    let mut objections = Vec::new();
    for suite in &SUITES {
        let found: usize = listed
            .iter()
            .filter(|(target, _)| suite.targets.contains(&target.as_str()))
            .map(|(_, tests)| tests.len())
            .sum();
        if found != suite.tests {
            objections.push(format!(
                "suite {}: the SDK has {found} tests where {} are known",
                suite.name, suite.tests
            ));
        }
    }
    for (target, tests) in listed {
        if SUITES
            .iter()
            .any(|suite| suite.targets.contains(&target.as_str()))
        {
            continue;
        }
        let known: BTreeSet<&str> = LEFT_OUT
            .iter()
            .filter(|left| left.target == target)
            .flat_map(|left| left.tests.iter().copied())
            .collect();
        let found: BTreeSet<&str> = tests.iter().map(String::as_str).collect();
        for test in found.difference(&known) {
            objections.push(format!("{target}: {test} is neither run nor left out"));
        }
        for test in known.difference(&found) {
            objections.push(format!("{target}: {test} is left out and does not exist"));
        }
    }
    objections
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the tables say that there is.
    fn as_known() -> Vec<(String, Vec<String>)> {
        let mut listed: Vec<(String, Vec<String>)> = Vec::new();
        for suite in &SUITES {
            for (index, target) in suite.targets.iter().enumerate() {
                let count = if index == 0 { suite.tests } else { 0 };
                let tests = (0..count).map(|test| format!("test_{test}")).collect();
                listed.push(((*target).to_owned(), tests));
            }
        }
        for left in &LEFT_OUT {
            let tests = left.tests.iter().map(|&test| test.to_owned());
            match listed.iter_mut().find(|(target, _)| target == left.target) {
                Some((_, known)) => known.extend(tests),
                None => listed.push((left.target.to_owned(), tests.collect())),
            }
        }
        listed
    }

    #[test]
    fn the_suites_have_81_tests() {
        assert_eq!(SUITES.iter().map(|suite| suite.tests).sum::<usize>(), 81);
    }

    #[test]
    fn what_is_known_is_not_objected_to() {
        assert_eq!(objections(&as_known()), Vec::<String>::new());
    }

    #[test]
    fn a_new_test_or_target_is_objected_to() {
        let mut listed = as_known();
        listed[1].1.push("test_new".to_owned());
        let video = listed.iter_mut().find(|(target, _)| target == "video_test");
        video.expect("it is left out").1.push("test_new".to_owned());
        listed.push(("new_test".to_owned(), vec!["test_it".to_owned()]));
        assert_eq!(
            objections(&listed),
            [
                "suite room: the SDK has 7 tests where 6 are known",
                "video_test: test_new is neither run nor left out",
                "new_test: test_it is neither run nor left out",
            ]
        );
    }

    #[test]
    fn a_test_that_has_gone_is_objected_to() {
        let mut listed = as_known();
        listed.retain(|(target, _)| target != "room_test");
        let video = listed.iter_mut().find(|(target, _)| target == "video_test");
        video.expect("it is left out").1.clear();
        assert_eq!(
            objections(&listed),
            [
                "suite room: the SDK has 0 tests where 6 are known",
                "video_test: test_video is left out and does not exist",
            ]
        );
    }
}
