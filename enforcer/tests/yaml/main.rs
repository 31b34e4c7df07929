//! YAML with places, and the errors made from it.

mod decode;
mod diagnostic;
mod path;
mod place;
mod value;

use enforcer::{
    diagnostic::{Diagnostics, Render},
    yaml::{Document, Source, parse},
};

/// The documents of a file called `test.yaml`.
fn documents(text: &str) -> Vec<Document> {
    parse(&Source::new("test.yaml", text)).expect("the text is good YAML")
}

/// The only document of a file called `test.yaml`.
fn document(text: &str) -> Document {
    let [document] = <[Document; 1]>::try_from(documents(text)).expect("one document");
    document
}

/// The error in a file called `test.yaml` as people see it.
fn error(text: &str) -> String {
    let errors: Diagnostics = parse(&Source::new("test.yaml", text)).expect_err("bad YAML");
    errors.render(Render::Plain)
}
