//! An image with one program in it, as one file.
//!
//! The file is an OCI image layout (`oci-layout`, `index.json`, `blobs/`) and, in the same blobs,
//! what `docker load` has read since its beginnings (`manifest.json`). One layer, not compressed:
//! its digest is its content's. No time of day is in it, so that it is reproducible.

use anyhow::Result;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const SOURCE: &str = "https://github.com/portcullis/portcullis";
/// Every time in the archive, in seconds since 1970.
const EPOCH: &str = "1970-01-01T00:00:00Z";

/// An image to be.
pub(super) struct Image<'a> {
    /// `repository/name:tag`.
    pub(super) reference: String,
    /// As `GOARCH` says it.
    pub(super) architecture: &'a str,
    /// The name of the program, and of its file in `/`.
    pub(super) program: &'a str,
    /// The program.
    pub(super) content: Vec<u8>,
    /// One line.
    pub(super) about: &'a str,
    /// Of the program.
    pub(super) version: &'a str,
}

/// Bytes with their name.
struct Blob {
    digest: String,
    bytes: Vec<u8>,
}

impl Blob {
    fn new(bytes: Vec<u8>) -> Self {
        let digest = Sha256::digest(&bytes);
        let digest = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { digest, bytes }
    }

    fn json(value: &Value) -> Self {
        Self::new(value.to_string().into_bytes())
    }

    fn path(&self) -> String {
        format!("blobs/sha256/{}", self.digest)
    }

    fn descriptor(&self, media_type: &str) -> Value {
        json!({
            "mediaType": media_type,
            "digest": format!("sha256:{}", self.digest),
            "size": self.bytes.len(),
        })
    }
}

impl Image<'_> {
    /// The archive.
    pub(super) fn archive(&self) -> Result<Vec<u8>> {
        let layer = Blob::new(self.layer()?);
        let config = Blob::json(&self.config(&layer));
        let manifest = Blob::json(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.descriptor(CONFIG),
            "layers": [layer.descriptor(LAYER)],
            "annotations": self.labels(),
        }));
        let mut builder = Builder::new(Vec::new());
        add(
            &mut builder,
            "oci-layout",
            br#"{"imageLayoutVersion":"1.0.0"}"#,
            0o644,
        )?;
        add(
            &mut builder,
            "index.json",
            self.index(&manifest).to_string().as_bytes(),
            0o644,
        )?;
        let docker = json!([{
            "Config": config.path(),
            "RepoTags": [self.reference],
            "Layers": [layer.path()],
        }]);
        add(
            &mut builder,
            "manifest.json",
            docker.to_string().as_bytes(),
            0o644,
        )?;
        for blob in [&config, &manifest, &layer] {
            add(&mut builder, &blob.path(), &blob.bytes, 0o644)?;
        }
        Ok(builder.into_inner()?)
    }

    /// The root file system: the program, and a place for temporary files that a volume can cover.
    fn layer(&self) -> Result<Vec<u8>> {
        let mut builder = Builder::new(Vec::new());
        let mut folder = header(0, 0o1777);
        folder.set_entry_type(EntryType::Directory);
        builder.append_data(&mut folder, "tmp/", std::io::empty())?;
        add(&mut builder, self.program, &self.content, 0o755)?;
        Ok(builder.into_inner()?)
    }

    fn config(&self, layer: &Blob) -> Value {
        json!({
            "created": EPOCH,
            "architecture": self.architecture,
            "os": "linux",
            "config": {
                "Entrypoint": [format!("/{}", self.program)],
                "Env": ["PATH=/"],
                "Labels": self.labels(),
                "WorkingDir": "/",
            },
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", layer.digest)]},
            "history": [{"created": EPOCH, "created_by": "cargo xtask image"}],
        })
    }

    fn index(&self, manifest: &Blob) -> Value {
        let tag = self.reference.rsplit(':').next().unwrap_or_default();
        let mut descriptor = manifest.descriptor(MANIFEST);
        descriptor["platform"] = json!({"architecture": self.architecture, "os": "linux"});
        descriptor["annotations"] = json!({
            "io.containerd.image.name": self.reference,
            "org.opencontainers.image.ref.name": tag,
        });
        json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor]})
    }

    fn labels(&self) -> Value {
        json!({
            "org.opencontainers.image.title": self.program,
            "org.opencontainers.image.description": self.about,
            "org.opencontainers.image.version": self.version,
            "org.opencontainers.image.licenses": "Apache-2.0",
            "org.opencontainers.image.source": SOURCE,
        })
    }
}

fn header(size: usize, mode: u32) -> Header {
    let mut header = Header::new_ustar();
    header.set_size(size as u64);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn add(builder: &mut Builder<Vec<u8>>, path: &str, bytes: &[u8], mode: u32) -> Result<()> {
    let mut header = header(bytes.len(), mode);
    builder.append_data(&mut header, path, bytes)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io::Read as _};

    use serde_json::Value;

    use super::{Blob, Image};

    fn archive() -> BTreeMap<String, Vec<u8>> {
        let image = Image {
            reference: "ghcr.io/portcullis/portcullis-agent:0.1.0".into(),
            architecture: "amd64",
            program: "portcullis-agent",
            content: b"a program".to_vec(),
            about: "Enforces",
            version: "0.1.0",
        };
        let bytes = image.archive().expect("memory can be written");
        assert_eq!(bytes, image.archive().expect("twice"), "reproducible");
        files(&bytes)
    }

    fn files(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(archive);
        let mut files = BTreeMap::new();
        for entry in archive.entries().expect("an archive has entries") {
            let mut entry = entry.expect("that can be read");
            let path = entry.path().expect("with a path").display().to_string();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("and bytes");
            files.insert(path, bytes);
        }
        files
    }

    fn json(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).expect("JSON")
    }

    fn blob<'a>(files: &'a BTreeMap<String, Vec<u8>>, descriptor: &Value) -> &'a [u8] {
        let digest = descriptor["digest"].as_str().expect("a digest");
        let bytes = &files[&format!("blobs/{}", digest.replace(':', "/"))];
        assert_eq!(
            format!("sha256:{}", Blob::new(bytes.clone()).digest),
            digest
        );
        assert_eq!(descriptor["size"], bytes.len());
        bytes
    }

    /// What `ctr images import` and `kind load image-archive` follow.
    #[test]
    fn the_index_leads_to_the_program() {
        let files = archive();
        let index = json(&files["index.json"]);
        let manifest = json(blob(&files, &index["manifests"][0]));
        let config = json(blob(&files, &manifest["config"]));
        let layer = blob(&files, &manifest["layers"][0]);
        assert_eq!(
            index["manifests"][0]["annotations"]["io.containerd.image.name"],
            "ghcr.io/portcullis/portcullis-agent:0.1.0"
        );
        assert_eq!(config["config"]["Entrypoint"][0], "/portcullis-agent");
        assert_eq!(
            config["rootfs"]["diff_ids"][0],
            manifest["layers"][0]["digest"]
        );
        assert_eq!(super::tests::files(layer)["portcullis-agent"], b"a program");
    }

    /// What `docker load` follows.
    #[test]
    fn docker_finds_the_same() {
        let files = archive();
        let docker = json(&files["manifest.json"]);
        let config = docker[0]["Config"].as_str().expect("a path");
        let layer = docker[0]["Layers"][0].as_str().expect("a path");
        assert_eq!(json(&files[config])["architecture"], "amd64");
        assert!(files.contains_key(layer));
        assert_eq!(
            docker[0]["RepoTags"][0],
            "ghcr.io/portcullis/portcullis-agent:0.1.0"
        );
    }
}
