//! CRC-16/XMODEM: it finds every burst of damage up to two bytes long, and all but one in 65,536 of
//! the rest.

const POLYNOMIAL: u16 = 0x1021;

pub(super) fn crc16(bytes: impl IntoIterator<Item = u8>) -> u16 {
    bytes.into_iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc: u16, _| {
            if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ POLYNOMIAL
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::crc16;

    #[test]
    fn the_check_value_of_the_catalogue_is_met() {
        assert_eq!(crc16(*b"123456789"), 0x31c3);
    }
}
