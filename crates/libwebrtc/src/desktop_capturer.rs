//! Screen capture: not in this engine. [`DesktopCapturer::new`] answers `None`.

use std::fmt;

/// What to capture.
#[derive(Debug, Copy, Clone, PartialEq)]
pub enum DesktopCaptureSourceType {
    /// A screen.
    Screen,
    /// A window.
    Window,
    /// Whatever the system's picker gives.
    #[cfg(any(target_os = "macos", target_os = "linux"))]
    Generic,
}

/// How to capture.
pub struct DesktopCapturerOptions {
    source_type: DesktopCaptureSourceType,
    include_cursor: bool,
}

impl DesktopCapturerOptions {
    /// Options without the cursor.
    pub fn new(source_type: DesktopCaptureSourceType) -> Self {
        Self {
            source_type,
            include_cursor: false,
        }
    }

    /// Whether the cursor is captured.
    pub fn set_include_cursor(&mut self, include: bool) {
        self.include_cursor = include;
    }
}

/// A capturer. None can be made, so no value of this type exists.
pub struct DesktopCapturer {
    never: std::convert::Infallible,
}

impl DesktopCapturer {
    /// `None`: this engine does not capture.
    pub fn new(options: DesktopCapturerOptions) -> Option<Self> {
        log::warn!(
            "cannot capture {:?} (cursor: {}): not in this engine",
            options.source_type,
            options.include_cursor,
        );
        None
    }

    /// Would start capturing.
    pub fn start_capture<T>(&mut self, _source: Option<CaptureSource>, _callback: T)
    where
        T: FnMut(Result<DesktopFrame, CaptureError>) + Send + 'static,
    {
        match self.never {}
    }

    /// Would capture a frame.
    pub fn capture_frame(&mut self) {
        match self.never {}
    }

    /// Would list screens or windows.
    pub fn get_source_list(&self) -> Vec<CaptureSource> {
        match self.never {}
    }
}

/// A captured frame. None is ever made.
pub struct DesktopFrame {
    never: std::convert::Infallible,
}

impl DesktopFrame {
    /// Pixels in a row.
    pub fn width(&self) -> i32 {
        match self.never {}
    }

    /// Rows.
    pub fn height(&self) -> i32 {
        match self.never {}
    }

    /// Bytes per row.
    pub fn stride(&self) -> u32 {
        match self.never {}
    }

    /// Left edge on the desktop.
    pub fn left(&self) -> i32 {
        match self.never {}
    }

    /// Upper edge on the desktop.
    pub fn top(&self) -> i32 {
        match self.never {}
    }

    /// The pixels.
    pub fn data(&self) -> &[u8] {
        match self.never {}
    }
}

/// A screen or window. None is ever listed.
#[derive(Clone)]
pub struct CaptureSource {
    never: std::convert::Infallible,
}

impl CaptureSource {
    /// Its id.
    pub fn id(&self) -> u64 {
        match self.never {}
    }

    /// Its title.
    pub fn title(&self) -> String {
        match self.never {}
    }

    /// The display it is on.
    pub fn display_id(&self) -> i64 {
        match self.never {}
    }
}

impl fmt::Display for CaptureSource {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.never {}
    }
}

/// Why nothing was captured.
#[derive(Debug, PartialEq)]
pub enum CaptureError {
    /// May work again.
    Temporary,
    /// Will not.
    Permanent,
}
