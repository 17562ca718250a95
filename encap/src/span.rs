//! A place in a buffer: how payload is named that stays where it was read.

/// Octets of a buffer that somebody else holds.
///
/// # Examples
///
/// ```
/// use encap::Span;
///
/// assert_eq!(Span::new(1, 3).of(b"abcde"), b"bcd");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first octet.
    pub start: u32,
    /// How many.
    pub len: u32,
}

impl Span {
    /// The octets `start..start + len`, both below 4 GiB.
    #[must_use]
    #[allow(clippy::cast_possible_truncation)] // buffers are far smaller
    pub const fn new(start: usize, len: usize) -> Self {
        Self { start: start as u32, len: len as u32 }
    }

    /// How many octets.
    #[must_use]
    pub const fn len(self) -> usize {
        self.len as usize
    }

    /// Whether it names nothing.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The place in the outer buffer of a span that was counted from the start of this one.
    #[must_use]
    pub const fn within(self, inner: Self) -> Self {
        Self { start: self.start + inner.start, len: inner.len }
    }

    /// The octets of `buffer` that this span names.
    ///
    /// # Panics
    ///
    /// When they are not all inside the buffer.
    #[must_use]
    #[inline]
    pub fn of(self, buffer: &[u8]) -> &[u8] {
        &buffer[self.start as usize..][..self.len as usize]
    }

    /// As [`Span::of`], to be changed.
    ///
    /// # Panics
    ///
    /// As [`Span::of`].
    #[must_use]
    #[inline]
    pub fn of_mut(self, buffer: &mut [u8]) -> &mut [u8] {
        &mut buffer[self.start as usize..][..self.len as usize]
    }
}
