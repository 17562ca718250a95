//! The compiler of filters in libpcap, which is opened while the program runs: it need not be there.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::{mem, ptr, slice};

/// The names of the library: those of others, and Debian's.
const NAMES: [&CStr; 2] = [c"libpcap.so.1", c"libpcap.so.0.8"];
/// Of `pcap/dlt.h`.
const ETHERNET: c_int = 1;
/// `PCAP_NETMASK_UNKNOWN`.
const NETMASK_UNKNOWN: c_uint = u32::MAX;

/// `struct bpf_insn`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Instruction {
    code: u16,
    jt: u8,
    jf: u8,
    k: u32,
}

/// `struct bpf_program`.
#[repr(C)]
struct Program {
    len: c_uint,
    instructions: *mut Instruction,
}

/// `pcap_t`, of which nothing is known here.
enum Handle {}

/// The functions of a library that is never closed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Libpcap {
    open_dead: unsafe extern "C" fn(c_int, c_int) -> *mut Handle,
    compile: unsafe extern "C" fn(*mut Handle, *mut Program, *const c_char, c_int, c_uint) -> c_int,
    error: unsafe extern "C" fn(*mut Handle) -> *mut c_char,
    free_code: unsafe extern "C" fn(*mut Program),
    close: unsafe extern "C" fn(*mut Handle),
}

impl Libpcap {
    /// Opens the library, if it is there and has all that is needed.
    pub(crate) fn open() -> Option<Self> {
        NAMES.iter().find_map(|name| {
            // SAFETY: the name ends with a NUL; what libpcap does when it is loaded needs nothing of its caller.
            let library = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
            if library.is_null() { None } else { Self::of(library) }
        })
    }

    fn of(library: *mut c_void) -> Option<Self> {
        // SAFETY: the types are those of `pcap/pcap.h`, the same in all versions, and the library stays open.
        unsafe {
            Some(Self {
                open_dead: function(library, c"pcap_open_dead")?,
                compile: function(library, c"pcap_compile")?,
                error: function(library, c"pcap_geterr")?,
                free_code: function(library, c"pcap_freecode")?,
                close: function(library, c"pcap_close")?,
            })
        }
    }

    /// Compiles a filter for frames of Ethernet, optimised; it returns `snap` for a frame that passes. `Err` is what
    /// libpcap has against it.
    pub(crate) fn compile(&self, expression: &CStr, snap: c_int) -> Result<Vec<(u16, u8, u8, u32)>, String> {
        // SAFETY: it takes two numbers; what it answers is looked at.
        let handle = unsafe { (self.open_dead)(ETHERNET, snap) };
        if handle.is_null() {
            return Err("libpcap has no memory".to_owned());
        }
        let mut program = Program { len: 0, instructions: ptr::null_mut() };
        // SAFETY: the handle is open, the program outlives the call, and the expression ends with a NUL.
        let result =
            unsafe { (self.compile)(handle, &raw mut program, expression.as_ptr(), 1, NETMASK_UNKNOWN) };
        let compiled = if result == 0 && !program.instructions.is_null() {
            // SAFETY: it was compiled, so `len` instructions are there, until the program is freed.
            let instructions = unsafe { slice::from_raw_parts(program.instructions, program.len as usize) };
            let copy = instructions.iter().map(|i| (i.code, i.jt, i.jf, i.k)).collect();
            // SAFETY: the compiler made it, nothing refers to it any more, and it is freed once.
            unsafe { (self.free_code)(&raw mut program) };
            Ok(copy)
        } else {
            // SAFETY: the text belongs to the handle, which is open, and ends with a NUL.
            let text = unsafe { CStr::from_ptr((self.error)(handle)) };
            Err(text.to_string_lossy().into_owned())
        };
        // SAFETY: it is open, and not used any more.
        unsafe { (self.close)(handle) };
        compiled
    }
}

/// A function of a library.
///
/// # Safety
///
/// `F` is the type of a function pointer, and that of the function with this name; the library stays open.
unsafe fn function<F: Copy>(library: *mut c_void, name: &CStr) -> Option<F> {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    // SAFETY: the library is open, and the name ends with a NUL.
    let address = unsafe { libc::dlsym(library, name.as_ptr()) };
    // SAFETY: both are pointers of one size, and the caller knows the type.
    (!address.is_null()).then(|| unsafe { mem::transmute_copy(&address) })
}
