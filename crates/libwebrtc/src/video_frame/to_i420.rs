//! Any picture as `I420`: the one layout that everything reads.

use super::native::NativeBuffer;
use super::sealed::Sealed;
use super::{
    I010Buffer, I420ABuffer, I420Buffer, I422Buffer, I444Buffer, NV12Buffer, VideoBuffer as _,
};

/// What distinguishes ten bits from eight.
const TEN_TO_EIGHT_BITS: u32 = 2;

/// A plane that is read. Strides come from the application, so a row may end
/// before its picture does; what is missing reads as zero.
struct Plane<'a, S> {
    samples: &'a [S],
    stride: usize,
    /// From one sample to the next, and where the first one is.
    step: usize,
    offset: usize,
    width: usize,
    height: usize,
    /// How many bits a sample has beyond eight.
    excess_bits: u32,
}

impl<S: Copy + Into<u32>> Plane<'_, S> {
    fn at(&self, x: usize, y: usize) -> u32 {
        let index = y * self.stride + x * self.step + self.offset;
        self.samples.get(index).map_or(0, |&sample| sample.into())
    }

    /// The mean of the samples in a block, rounded, in eight bits.
    fn mean(&self, x: usize, y: usize, across: usize, down: usize) -> u8 {
        let (mut sum, mut count) = (0, 0);
        for row in (y * down..(y + 1) * down).filter(|&row| row < self.height) {
            for column in (x * across..(x + 1) * across).filter(|&column| column < self.width) {
                sum += self.at(column, row);
                count += 1;
            }
        }
        let mean = (sum + count / 2).checked_div(count).unwrap_or(0);
        u8::try_from(mean >> self.excess_bits).unwrap_or(u8::MAX)
    }

    /// Fills a plane with the means of blocks of this one.
    fn reduce_to(&self, target: &mut [u8], width: usize, across: usize, down: usize) {
        for (y, row) in target.chunks_mut(width.max(1)).enumerate() {
            for (x, sample) in row.iter_mut().enumerate() {
                *sample = self.mean(x, y, across, down);
            }
        }
    }
}

/// From three planes, whose chroma is `across` and `down` times as fine.
fn planar<S: Copy + Into<u32>>(
    [width, height]: [u32; 2],
    planes: [(&[S], u32); 3],
    [chroma_width, chroma_height]: [u32; 2],
    [across, down]: [usize; 2],
    excess_bits: u32,
) -> I420Buffer {
    let mut made = I420Buffer::new(width, height);
    let made_chroma_width = made.chroma_width() as usize;
    let plane = |(samples, stride): (_, u32), width: u32, height: u32| Plane {
        samples,
        stride: stride as usize,
        step: 1,
        offset: 0,
        width: width as usize,
        height: height as usize,
        excess_bits,
    };
    let [y, u, v] = planes;
    let (to_y, to_u, to_v) = made.data_mut();
    plane(y, width, height).reduce_to(to_y, width as usize, 1, 1);
    for (from, to) in [(u, to_u), (v, to_v)] {
        plane(from, chroma_width, chroma_height).reduce_to(to, made_chroma_width, across, down);
    }
    made
}

macro_rules! planar_to_i420 {
    ($type:ty, $across:literal, $down:literal, $excess:expr) => {
        impl Sealed for $type {
            fn to_i420(&self) -> I420Buffer {
                let (y, u, v) = self.data();
                let (stride_y, stride_u, stride_v) = self.strides();
                planar(
                    [self.width, self.height],
                    [(y, stride_y), (u, stride_u), (v, stride_v)],
                    [self.chroma_width(), self.chroma_height()],
                    [$across, $down],
                    $excess,
                )
            }
        }
    };
}

planar_to_i420!(I420Buffer, 1, 1, 0);
planar_to_i420!(I422Buffer, 1, 2, 0);
planar_to_i420!(I444Buffer, 2, 2, 0);
planar_to_i420!(I010Buffer, 1, 1, TEN_TO_EIGHT_BITS);

impl Sealed for NV12Buffer {
    fn to_i420(&self) -> I420Buffer {
        let mut made = I420Buffer::new(self.width, self.height);
        let chroma_width = made.chroma_width() as usize;
        let (y, uv) = self.data();
        let (stride_y, stride_uv) = self.strides();
        let (width, height) = (self.width as usize, self.height as usize);
        let (to_y, to_u, to_v) = made.data_mut();
        let luma = Plane {
            samples: y,
            stride: stride_y as usize,
            step: 1,
            offset: 0,
            width,
            height,
            excess_bits: 0,
        };
        luma.reduce_to(to_y, width, 1, 1);
        for (offset, to) in [(0, to_u), (1, to_v)] {
            let chroma = Plane {
                samples: uv,
                stride: stride_uv as usize,
                step: 2,
                offset,
                width: chroma_width,
                height: self.chroma_height() as usize,
                excess_bits: 0,
            };
            chroma.reduce_to(to, chroma_width, 1, 1);
        }
        made
    }
}

impl Sealed for I420ABuffer {
    /// Nothing here makes such a buffer, and it has no samples.
    fn to_i420(&self) -> I420Buffer {
        I420Buffer::new_black(self.width, self.height)
    }
}

impl Sealed for NativeBuffer {
    /// The platform's memory cannot be read here: black.
    fn to_i420(&self) -> I420Buffer {
        I420Buffer::new_black(self.width(), self.height())
    }
}

#[cfg(test)]
mod tests {
    use crate::video_frame::{BoxVideoBuffer, I010Buffer, I420Buffer, I444Buffer, NV12Buffer};

    #[test]
    fn full_chroma_is_averaged_over_blocks_of_four() {
        let mut picture = I444Buffer::new(3, 2);
        let (y, u, v) = picture.data_mut();
        y.copy_from_slice(&[1, 2, 3, 4, 5, 6]);
        u.copy_from_slice(&[10, 20, 90, 30, 40, 70]);
        v.fill(7);
        let boxed: BoxVideoBuffer = Box::new(picture);
        let i420 = boxed.to_i420();
        assert_eq!(
            i420.data(),
            (&[1, 2, 3, 4, 5, 6][..], &[25, 80][..], &[7, 7][..])
        );
    }

    #[test]
    fn ten_bits_become_eight() {
        let mut picture = I010Buffer::new(2, 2);
        let (y, u, v) = picture.data_mut();
        y.copy_from_slice(&[0, 4, 1023, u16::MAX]);
        u.fill(512);
        v.fill(511);
        let boxed: BoxVideoBuffer = Box::new(picture);
        let i420 = boxed.to_i420();
        assert_eq!(i420.data(), (&[0, 1, 255, 255][..], &[128][..], &[127][..]));
    }

    #[test]
    fn interleaved_chroma_is_taken_apart() {
        let mut picture = NV12Buffer::new(4, 2);
        let (_, uv) = picture.data_mut();
        uv.copy_from_slice(&[1, 2, 3, 4]);
        let boxed: BoxVideoBuffer = Box::new(picture);
        let i420 = boxed.to_i420();
        assert_eq!((i420.data().1, i420.data().2), (&[1, 3][..], &[2, 4][..]));
    }

    #[test]
    fn padding_is_left_behind_and_short_rows_read_as_nothing() {
        let mut padded = I420Buffer::with_strides(2, 2, 4, 1, 1);
        padded
            .data_mut()
            .0
            .copy_from_slice(&[1, 2, 9, 9, 3, 4, 9, 9]);
        let boxed: BoxVideoBuffer = Box::new(padded);
        assert_eq!(boxed.to_i420().data().0, [1, 2, 3, 4]);
        let short: BoxVideoBuffer = Box::new(I420Buffer::with_strides(4, 4, 0, 0, 0));
        assert_eq!(short.to_i420().data().0, [0; 16]);
    }
}
