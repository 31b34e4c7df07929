//! Container images without a container engine: static programs, and OCI archives around them.
//!
//! `cargo xtask image` builds `portcullis-agent` and `portcullis-probe` with everything linked in
//! and writes `target/image/NAME.tar`, which `kind load image-archive`, `docker load` and `ctr
//! images import` take. The same source gives the same archive, byte for byte. What is in an
//! archive is in [`archive`]; [`elf`] makes sure that a program needs nothing beside itself.

mod archive;
mod elf;

use std::{
    env::consts::ARCH,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use self::archive::Image;
use crate::process::{Cargo, root, say};

/// A program that becomes an image.
struct Program {
    package: &'static str,
    binary: &'static str,
    about: &'static str,
}

const PROGRAMS: [Program; 2] = [
    Program {
        package: "enforcer",
        binary: "portcullis-agent",
        about: "Enforces Kubernetes network policies on one node by nftables",
    },
    Program {
        package: "netsim",
        binary: "portcullis-probe",
        about: "Listens and probes inside the pods of a conformance run",
    },
];

/// What the archives are called unless told otherwise.
const REPOSITORY: &str = "ghcr.io/portcullis";

/// Which images, and where to.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only these: portcullis-agent, portcullis-probe.
    #[arg(value_parser = ["portcullis-agent", "portcullis-probe"])]
    programs: Vec<String>,
    /// The folder for the archives.
    #[arg(long, value_name = "DIR", default_value = "target/image")]
    out: PathBuf,
    /// What comes before the image's name.
    #[arg(long, value_name = "REPOSITORY", default_value = REPOSITORY)]
    repository: String,
    /// The tag.
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    tag: String,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let out = root().join(&arguments.out);
    fs::create_dir_all(&out).with_context(|| format!("failed to make {}", out.display()))?;
    for program in PROGRAMS {
        let wanted = arguments.programs.is_empty()
            || arguments.programs.iter().any(|name| name == program.binary);
        if wanted {
            write(&program, arguments, &out)?;
        }
    }
    Ok(())
}

fn write(program: &Program, arguments: &Arguments, out: &Path) -> Result<()> {
    let path = build(program)?;
    let content = fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?;
    if let Some(loader) = elf::loader(&content) {
        bail!(
            "{} asks for the loader {loader}: an image that holds nothing else could not start it",
            path.display()
        );
    }
    let image = Image {
        reference: format!(
            "{}/{}:{}",
            arguments.repository, program.binary, arguments.tag
        ),
        architecture: architecture()?,
        program: program.binary,
        content,
        about: program.about,
        version: &arguments.tag,
    };
    let archive = out.join(format!("{}.tar", program.binary));
    let bytes = image.archive()?;
    fs::write(&archive, &bytes)
        .with_context(|| format!("failed to write {}", archive.display()))?;
    let shown = archive.strip_prefix(root()).unwrap_or(&archive).display();
    let size = bytes.len() >> 10;
    say(&format!("{shown}: {}, {size} KiB", image.reference));
    Ok(())
}

/// Links everything in. The target is named even though it is this machine's, so that the flag is
/// not for build scripts and macros, which must stay loadable.
fn build(program: &Program) -> Result<PathBuf> {
    let target = format!("{ARCH}-unknown-linux-gnu");
    Cargo::new("build")
        .args(["--release", "--locked", "--target", &target])
        .args(["--package", program.package, "--bin", program.binary])
        // Without symbols it is a tenth of the size.
        .env(
            "RUSTFLAGS",
            "-C target-feature=+crt-static -C strip=symbols",
        )
        .check()?;
    let folder = std::env::var_os("CARGO_TARGET_DIR").map_or(root().join("target"), PathBuf::from);
    Ok(folder.join(target).join("release").join(program.binary))
}

/// This machine's architecture as images call it.
fn architecture() -> Result<&'static str> {
    match ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        "riscv64" | "s390x" => Ok(ARCH),
        "powerpc64" => Ok("ppc64le"),
        other => bail!("there are no images for {other}"),
    }
}
