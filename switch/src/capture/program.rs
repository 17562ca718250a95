//! A filter as libpcap and `tcpdump -ddd` compile it: a classic BPF program.
//!
//! [`Program::new`] checks what the kernel checks of such a program too: jumps lead forward and stay inside, the scratch
//! memory has 16 words, no division by a constant zero, the end is a return. So every run ends after at most as many steps
//! as there are instructions. Instructions are those of the BSD Packet Filter (McCanne and Jacobson, 1993); the
//! extensions of Linux are not there.

use serde::{Deserialize, Serialize};

/// The most instructions of a program; the kernel's own limit.
pub const MAX_LEN: usize = 4096;
const WORDS: usize = 16;

/// One instruction, as `tcpdump -ddd` prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u16, u8, u8, u32)", into = "(u16, u8, u8, u32)")]
pub struct Instruction {
    /// What to do: class, size, mode, operation, source.
    pub code: u16,
    /// How far to jump when a condition holds.
    pub jt: u8,
    /// How far to jump when it does not.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

impl From<(u16, u8, u8, u32)> for Instruction {
    fn from((code, jt, jf, k): (u16, u8, u8, u32)) -> Self {
        Self { code, jt, jf, k }
    }
}

impl From<Instruction> for (u16, u8, u8, u32) {
    fn from(i: Instruction) -> Self {
        (i.code, i.jt, i.jf, i.k)
    }
}

/// A program that always ends.
///
/// # Examples
///
/// ```
/// use weft::capture::program::Program;
///
/// // What `tcpdump -y EN10MB -ddd arp` prints.
/// let arp = [(40, 0, 0, 12), (21, 0, 1, 0x806), (6, 0, 0, 262_144), (6, 0, 0, 0)];
/// let program = Program::new(arp.map(Into::into).to_vec())?;
/// let mut frame = [0; 60];
/// assert!(!program.matches(&frame, 60));
/// frame[12..14].copy_from_slice(&[8, 6]);
/// assert!(program.matches(&frame, 60));
/// # Ok::<(), weft::capture::program::ProgramError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Instruction>", into = "Vec<Instruction>")]
pub struct Program(Vec<Instruction>);

/// Why a list of instructions is no program. Compilers never make such.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// None, or too many.
    #[error("the filter has {0} instructions; 1 to {MAX_LEN} are possible: use a simpler expression")]
    Len(usize),
    /// It does not end with a return.
    #[error("the filter does not end with a return: it was not made by libpcap")]
    End,
    /// An instruction that does not exist.
    #[error(
        "instruction {at} of the filter has the unknown code {code:#x}: it was not made by libpcap for Ethernet"
    )]
    Code {
        /// Its place.
        at: usize,
        /// Its code.
        code: u16,
    },
    /// An operand that is out of range.
    #[error(
        "instruction {at} of the filter jumps, reads or divides where it must not: it was not made by libpcap"
    )]
    Operand {
        /// Its place.
        at: usize,
    },
}

impl TryFrom<Vec<Instruction>> for Program {
    type Error = ProgramError;
    fn try_from(code: Vec<Instruction>) -> Result<Self, ProgramError> {
        Self::new(code)
    }
}

impl From<Program> for Vec<Instruction> {
    fn from(program: Program) -> Self {
        program.0
    }
}

// Classes.
const LD: u16 = 0x00;
const LDX: u16 = 0x01;
const ST: u16 = 0x02;
const STX: u16 = 0x03;
const ALU: u16 = 0x04;
const JMP: u16 = 0x05;
const RET: u16 = 0x06;
const MISC: u16 = 0x07;
// Modes of loads.
const IMM: u16 = 0x00;
const ABS: u16 = 0x20;
const IND: u16 = 0x40;
const MEM: u16 = 0x60;
const LEN: u16 = 0x80;
const MSH: u16 = 0xa0;
// Sizes of loads.
const HALF: u16 = 0x08;
const BYTE: u16 = 0x10;
/// The operand is the index register.
const X: u16 = 0x08;
// Operations.
const DIV: u16 = 0x30;
const MOD: u16 = 0x90;
const JA: u16 = 0x00;
const TXA: u16 = 0x80;

impl Program {
    /// Checks a list of instructions.
    ///
    /// # Errors
    ///
    /// [`ProgramError`]: it could run out of its instructions, its memory, or time.
    pub fn new(code: Vec<Instruction>) -> Result<Self, ProgramError> {
        if code.is_empty() || code.len() > MAX_LEN {
            return Err(ProgramError::Len(code.len()));
        }
        for (at, instruction) in code.iter().enumerate() {
            check(at, *instruction, code.len() - at - 1)?;
        }
        match code.last() {
            Some(last) if last.code & 7 == RET => Ok(Self(code)),
            _ => Err(ProgramError::End),
        }
    }

    /// Whether a frame of `wire_len` octets passes, of which these octets are there. A look behind them ends the program:
    /// the frame does not pass, as in the kernel.
    ///
    /// # Cost
    ///
    /// About 2 ns an instruction; no allocation.
    #[must_use]
    pub fn matches(&self, octets: &[u8], wire_len: usize) -> bool {
        run(&self.0, octets, wire_len).is_some_and(|verdict| verdict != 0)
    }
}

fn check(at: usize, i: Instruction, behind: usize) -> Result<(), ProgramError> {
    let unknown = Err(ProgramError::Code { at, code: i.code });
    let operand = |fine: bool| if fine { Ok(()) } else { Err(ProgramError::Operand { at }) };
    let word = (i.k as usize) < WORDS;
    match i.code {
        // ld, ldh, ldb of the frame; ld, ldx of a constant or of the length; ldx of an IPv4 header's length
        0x20 | 0x28 | 0x30 | 0x40 | 0x48 | 0x50 | 0x00 | 0x01 | 0x80 | 0x81 | 0xb1 => Ok(()),
        // ld, ldx of memory, st, stx
        0x60 | 0x61 | ST | STX => operand(word),
        code if code & 7 == ALU => match code & !0x0f {
            DIV | MOD => operand(code & X != 0 || i.k != 0),
            0x60 | 0x70 => operand(code & X != 0 || i.k < 32),
            0x00..=0xa0 => Ok(()),
            _ => unknown,
        },
        code if code & 7 == JMP => match code & !0x0f {
            JA => operand((i.k as usize) < behind),
            0x10..=0x40 => operand(usize::from(i.jt.max(i.jf)) < behind),
            _ => unknown,
        },
        0x06 | 0x16 => Ok(()),
        0x07 | 0x87 => Ok(()),
        _ => unknown,
    }
}

/// What the program returns; `None` = it looked behind the octets, or divided by zero.
fn run(code: &[Instruction], octets: &[u8], wire_len: usize) -> Option<u32> {
    let (mut a, mut x, mut memory, mut at) = (0u32, 0u32, [0u32; WORDS], 0);
    #[allow(clippy::cast_possible_truncation)] // a frame has less than 4 GiB
    let wire_len = wire_len as u32;
    loop {
        let i = *code.get(at)?;
        at += 1;
        match i.code & 7 {
            LD => {
                a = match i.code & 0xe0 {
                    ABS => load(octets, i.k, i.code)?,
                    IND => load(octets, x.checked_add(i.k)?, i.code)?,
                    IMM => i.k,
                    LEN => wire_len,
                    _ => memory[i.k as usize % WORDS],
                };
            }
            LDX => {
                x = match i.code & 0xe0 {
                    MSH => u32::from(octets.get(i.k as usize)? & 0x0f) * 4,
                    IMM => i.k,
                    LEN => wire_len,
                    MEM => memory[i.k as usize % WORDS],
                    _ => return None,
                };
            }
            ST => memory[i.k as usize % WORDS] = a,
            STX => memory[i.k as usize % WORDS] = x,
            ALU => a = compute(i, a, if i.code & X != 0 { x } else { i.k })?,
            JMP => at += jump(i, a, if i.code & X != 0 { x } else { i.k }),
            RET => return Some(if i.code & 0x18 == 0x10 { a } else { i.k }),
            MISC if i.code & TXA != 0 => a = x,
            _ => x = a,
        }
    }
}

fn load(octets: &[u8], at: u32, code: u16) -> Option<u32> {
    let from = octets.get(at as usize..)?;
    match code & 0x18 {
        BYTE => from.first().map(|&octet| octet.into()),
        HALF => from.first_chunk().map(|&half| u16::from_be_bytes(half).into()),
        _ => from.first_chunk().map(|&word| u32::from_be_bytes(word)),
    }
}

fn compute(i: Instruction, a: u32, operand: u32) -> Option<u32> {
    Some(match i.code & 0xf0 {
        0x00 => a.wrapping_add(operand),
        0x10 => a.wrapping_sub(operand),
        0x20 => a.wrapping_mul(operand),
        DIV => a.checked_div(operand)?,
        0x40 => a | operand,
        0x50 => a & operand,
        0x60 => a.checked_shl(operand).unwrap_or(0),
        0x70 => a.checked_shr(operand).unwrap_or(0),
        0x80 => a.wrapping_neg(),
        MOD => a.checked_rem(operand)?,
        _ => a ^ operand,
    })
}

fn jump(i: Instruction, a: u32, operand: u32) -> usize {
    let holds = match i.code & 0xf0 {
        JA => return i.k as usize,
        0x10 => a == operand,
        0x20 => a > operand,
        0x30 => a >= operand,
        _ => a & operand != 0,
    };
    usize::from(if holds { i.jt } else { i.jf })
}

#[cfg(test)]
mod tests;
