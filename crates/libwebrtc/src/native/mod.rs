//! What exists on native platforms only.

pub mod apm;
pub mod audio_mixer;
pub mod audio_resampler;
pub(crate) mod device_state;
pub mod frame_cryptor;
pub mod packet_trailer;

/// A random UUID (version 4) as text.
pub fn create_random_uuid() -> String {
    uuid::Uuid::new_v4().to_string()
}
