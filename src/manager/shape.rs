//! How the lines of a source are read, by what the configuration says of it.

use std::sync::Arc;

use crate::alert::{self, Shape};
use crate::config;

/// The shape that is meant.
pub(super) fn shape(format: &config::Format) -> Shape {
    match format {
        config::Format::Auto => Shape::Auto,
        config::Format::Wazuh
        | config::Format::Suricata
        | config::Format::Falco
        | config::Format::Crowdsec
        | config::Format::Wazuh5
        | config::Format::Ossec => {
            let row = alert::find(format.word());
            Shape::One(row.expect("a format of the configuration has a row, as a test sees to"))
        }
        config::Format::Generic(mapping) => Shape::Mapped(Arc::clone(mapping)),
    }
}

#[cfg(test)]
mod tests {
    use super::shape;
    use crate::config::Format;

    #[test]
    fn a_word_for_a_format_means_the_format_of_that_name() {
        for format in [
            Format::Auto,
            Format::Wazuh,
            Format::Suricata,
            Format::Falco,
            Format::Crowdsec,
            Format::Wazuh5,
            Format::Ossec,
        ] {
            assert_eq!(shape(&format).name(), format.word());
        }
    }
}
