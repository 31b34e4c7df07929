//! What a program asks the kernel for before it can start.

/// `e_ident` of a 64-bit little-endian file.
const MAGIC: [u8; 6] = [0x7f, b'E', b'L', b'F', 2, 1];
/// The program header that names a loader.
const PT_INTERP: u32 = 3;

/// The loader that a dynamically linked program names; none if it is static, or no such program.
pub(super) fn loader(file: &[u8]) -> Option<String> {
    if !file.starts_with(&MAGIC) {
        return None;
    }
    let table = usize::try_from(number(file, 32, 8)?).ok()?;
    let size = usize::try_from(number(file, 54, 2)?).ok()?;
    let count = usize::try_from(number(file, 56, 2)?).ok()?;
    let header = (0..count)
        .map(|index| table + index * size)
        .find(|header| number(file, *header, 4) == Some(PT_INTERP.into()))?;
    let start = usize::try_from(number(file, header + 8, 8)?).ok()?;
    let length = usize::try_from(number(file, header + 32, 8)?).ok()?;
    let name = file.get(start..start + length)?;
    let name = String::from_utf8_lossy(name);
    Some(name.trim_end_matches('\0').to_owned())
}

/// A little-endian number of `size` bytes.
fn number(file: &[u8], offset: usize, size: usize) -> Option<u64> {
    let bytes = file.get(offset..offset + size)?;
    let mut wide = [0; 8];
    wide[..size].copy_from_slice(bytes);
    Some(u64::from_le_bytes(wide))
}

#[cfg(test)]
mod tests {
    use super::loader;

    #[test]
    fn the_program_that_runs_this_test_names_a_loader() {
        let own = std::env::current_exe().expect("a test is a file");
        let own = std::fs::read(own).expect("that can be read");
        let loader = loader(&own).expect("and is linked dynamically");
        assert!(loader.starts_with("/lib"), "{loader}");
    }

    #[test]
    fn other_files_name_none() {
        assert_eq!(loader(b"#!/bin/sh\n"), None);
        assert_eq!(loader(&[]), None);
        assert_eq!(loader(&[0x7f, b'E', b'L', b'F', 2, 1, 0]), None);
    }
}
