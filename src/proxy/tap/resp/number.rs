//! The number of a header line (`$12\r\n`), byte by byte.

/// A line with one number in it, of which some bytes have been read.
#[derive(Debug, Default, Clone, Copy)]
pub struct Line {
    value: i64,
    negative: bool,
    digits: bool,
    /// The carriage return was read.
    returned: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    Partial,
    Whole(i64),
}

impl Line {
    /// # Errors
    /// If the line is not a number.
    pub fn take(&mut self, byte: u8) -> Result<Number, &'static str> {
        match byte {
            b'\n' if self.returned => {
                return Ok(Number::Whole(if self.negative { -self.value } else { self.value }));
            }
            _ if self.returned => return Err("a line that ends in the middle"),
            b'0'..=b'9' => {
                let more =
                    self.value.checked_mul(10).and_then(|tens| tens.checked_add(i64::from(byte - b'0')));
                self.value = more.ok_or("a length beyond all bounds")?;
                self.digits = true;
            }
            b'-' if !self.digits && !self.negative => self.negative = true,
            b'+' if !self.digits && !self.negative => {}
            b'\r' if self.digits => self.returned = true,
            _ => return Err("a length that is no number"),
        }
        Ok(Number::Partial)
    }
}
