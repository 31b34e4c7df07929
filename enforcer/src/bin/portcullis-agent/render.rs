//! The rules of a node that manifests lead to, without a cluster or a kernel.

use std::{fs, io, io::Read as _, path::Path};

use anyhow::{Context as _, anyhow};
use enforcer::{
    api::{
        self, lower_network_policy,
        manifest::{self, Object},
        policy_ref,
    },
    cluster::{Cluster, Event},
    compile::compile,
    diagnostic::Render as How,
    nft::{diff, render_json, render_text},
    options::Options,
    plan::Plan,
    yaml::{self, Source},
};

use crate::{
    Exit, Failure, Outcome,
    arguments::{Output, Render},
    say,
};

/// Prints the transaction that makes the rules anew.
pub(crate) fn render(arguments: &Render) -> Outcome {
    let mut cluster = Cluster::default();
    for file in &arguments.files {
        read(file, &mut cluster)?;
    }
    let node = &arguments.node_name;
    if cluster.pods_on(node).next().is_none() {
        let message = format!(
            "render the rules of node {node}: no pod of the manifests is bound to it (spec.nodeName) \
             with an address (status.podIPs)"
        );
        return Err(Failure::bad_input(anyhow!(message)));
    }
    let plan = compile(&cluster, node, Options::from(arguments.choices));
    let transaction = diff(&Plan::default(), &plan);
    match arguments.output {
        Output::Text => say(render_text(&transaction).trim_end()),
        Output::Json => say(&format!("{:#}", render_json(&transaction))),
    }
    Ok(Exit::Yes)
}

fn read(file: &Path, cluster: &mut Cluster) -> Result<(), Failure> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(file)
    };
    let name = file.display().to_string();
    let text = text
        .with_context(|| format!("read {name}"))
        .map_err(Failure::bad_input)?;
    let refuse = |errors: enforcer::diagnostic::Diagnostics| {
        Failure::bad_input(anyhow!("read {name}:\n{}", errors.render(How::Plain)))
    };
    for document in yaml::parse(&Source::new(&name, text)).map_err(refuse)? {
        for manifest in manifest::decode(&document).map_err(refuse)? {
            if let Some(event) = event(manifest.object) {
                cluster.handle(event);
            }
        }
    }
    Ok(())
}

/// What an object means for the index; nothing for those that no rule depends on.
fn event(object: Object) -> Option<Event> {
    Some(match object {
        Object::Pod(pod) => Event::ApplyPod(api::pod(&pod)),
        Object::Namespace(namespace) => Event::ApplyNamespace(api::namespace(&namespace)),
        Object::Node(node) => Event::ApplyNode(api::node(&node)),
        Object::NetworkPolicy(policy) => {
            Event::ApplyPolicy(policy_ref(&policy), lower_network_policy(&policy))
        }
        _ => return None,
    })
}
