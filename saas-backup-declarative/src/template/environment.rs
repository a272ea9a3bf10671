use std::sync::LazyLock;

use minijinja::{Environment, UndefinedBehavior};

use super::{filters, functions, python};

/// Steps that one evaluation may take.
const FUEL: u64 = 1_000_000;

/// What all templates share: the filters and functions that Airbyte has.
pub(super) static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(filters::method);
    environment.set_fuel(Some(FUEL));
    environment.set_formatter(|output, _, value| {
        write!(output, "{}", python::python_str(value)).map_err(|_| minijinja::ErrorKind::WriteFailure.into())
    });
    filters::add(&mut environment);
    functions::add(&mut environment);
    environment
});

/// Functions that Jinja has besides Airbyte's.
const OF_JINJA: [&str; 4] = ["dict", "namespace", "lipsum", "debug"];

/// Whether a name is one of a function.
pub(super) fn is_global(name: &str) -> bool {
    functions::NAMES.contains(&name) || OF_JINJA.contains(&name)
}
