//! Alerts of anybody's making, read as a configuration says.

use std::path::Path;

use ripost::alert::Shape;
use ripost::config::{self, Context, Format};

use crate::{compare, files, folder};

/// The shape that `generic/source.conf` describes.
fn shape() -> Shape {
    let path = folder("alerts").join("generic/source.conf");
    let text = std::fs::read(path).unwrap();
    let checked = config::manager(&text, Path::new("source.conf"), &Context::default());
    assert_eq!(checked.problems(), "");
    let sources = checked.value.unwrap().sources;
    match &sources[0].format {
        Format::Generic(mapping) => Shape::Mapped(mapping.clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn fixtures_without_a_format_are_read_as_the_configuration_says() {
    let mut inputs = files(&folder("alerts").join("generic"));
    inputs.retain(|path| path.to_str().unwrap().contains(".in."));
    assert!(inputs.len() >= 3);
    for input in inputs {
        compare(&input, &shape());
    }
}
