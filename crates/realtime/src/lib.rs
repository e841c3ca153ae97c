//! Speech-to-speech sessions: one vendor-neutral event set, a codec per vendor.
