//! One LiveKit project: the agent worker protocol.
