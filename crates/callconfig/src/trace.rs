//! W3C trace context: <https://www.w3.org/TR/trace-context/>.

use trunkline_domain::CallId;

/// Whether who is asked shall record its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sampling {
    Sampled,
    NotSampled,
}

/// The value of `traceparent` for one attempt. The trace's id is the call's own, without
/// hyphens (of a UUID of version 7, 74 bits are random, those at the end among them), so
/// that a trace is found by what records and logs have in any case.
pub(crate) fn traceparent(call: CallId, span: u64, sampling: Sampling) -> String {
    let flags = match sampling {
        Sampling::Sampled => "01",
        Sampling::NotSampled => "00",
    };
    // A span of nothing but zeros is none.
    format!("00-{}-{:016x}-{flags}", call.0.simple(), span.max(1))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_trace_is_the_calls_and_the_span_is_never_zero() {
        let call = CallId(Uuid::from_u128(0x019a_b3c2_0000_7000_8000_0000_0000_0001));
        assert_eq!(
            traceparent(call, 0xabc, Sampling::Sampled),
            "00-019ab3c2000070008000000000000001-0000000000000abc-01"
        );
        assert_eq!(
            traceparent(call, 0, Sampling::NotSampled),
            "00-019ab3c2000070008000000000000001-0000000000000001-00"
        );
    }
}
