//! Real servers and simulated peers: for tests, the demo and the benchmarks.
