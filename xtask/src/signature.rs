//! Writes types, generics and functions of rustdoc's JSON as Rust source.
//!
//! A name is written the same way however the source imports it: our own and the prelude's by their last
//! segment, a foreign one behind its crate. What this module does not know is written as JSON, so that nothing
//! changes unseen.

use serde_json::Value;

/// Crates whose names stand alone.
const STANDARD: &[&str] = &["std", "core", "alloc"];

/// Knows what the ids of a listing stand for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signatures<'a> {
    /// The table `paths` of the document.
    pub(crate) paths: &'a Value,
}

/// The elements of an array; none of anything else.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The text of a string; nothing of anything else.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// An object of one member is how the document writes a variant: its name and content.
pub(crate) fn variant(value: &Value) -> (&str, &Value) {
    match value.as_object().and_then(|object| object.iter().next()) {
        Some((kind, content)) => (kind, content),
        None => (text(value), &Value::Null),
    }
}

impl Signatures<'_> {
    /// A type.
    pub(crate) fn ty(self, value: &Value) -> String {
        let (kind, inner) = variant(value);
        match kind {
            "resolved_path" => self.path(inner),
            "primitive" if inner == "never" => "!".to_owned(),
            "generic" | "primitive" => text(inner).to_owned(),
            "infer" => "_".to_owned(),
            "dyn_trait" => {
                let mut bounds: Vec<String> =
                    list(&inner["traits"]).iter().map(|bound| self.poly_trait(bound)).collect();
                bounds.extend(inner["lifetime"].as_str().map(str::to_owned));
                format!("dyn {}", bounds.join(" + "))
            }
            "impl_trait" => format!("impl {}", self.bounds(inner)),
            "tuple" => match list(inner) {
                [one] => format!("({},)", self.ty(one)),
                all => format!("({})", self.types(all)),
            },
            "slice" => format!("[{}]", self.ty(inner)),
            "array" => format!("[{}; {}]", self.ty(&inner["type"]), text(&inner["len"])),
            "borrowed_ref" => {
                let lifetime = inner["lifetime"].as_str().map(|name| format!("{name} ")).unwrap_or_default();
                format!("&{lifetime}{}{}", mutable(inner), self.pointee(&inner["type"]))
            }
            "raw_pointer" => {
                let word = if inner["is_mutable"] == true { "mut" } else { "const" };
                format!("*{word} {}", self.pointee(&inner["type"]))
            }
            "function_pointer" => {
                let over = self.binder(&inner["generic_params"]);
                let (inputs, output) = self.inputs_and_output(&inner["sig"], false);
                format!("{over}{}fn({inputs}){output}", qualifiers(&inner["header"]))
            }
            "qualified_path" => {
                let own = self.ty(&inner["self_type"]);
                let name = text(&inner["name"]);
                let arguments = self.arguments(&inner["args"]);
                match inner["trait"]["path"].as_str() {
                    Some(path) if !path.is_empty() => {
                        format!("<{own} as {}>::{name}{arguments}", self.path(&inner["trait"]))
                    }
                    _ => format!("{own}::{name}{arguments}"),
                }
            }
            _ => value.to_string(),
        }
    }

    /// Parentheses where `&dyn A + B` would be read as something else.
    fn pointee(self, value: &Value) -> String {
        let written = self.ty(value);
        let several = ["dyn_trait", "impl_trait"].contains(&variant(value).0) && written.contains(" + ");
        if several { format!("({written})") } else { written }
    }

    fn types(self, values: &[Value]) -> String {
        values.iter().map(|value| self.ty(value)).collect::<Vec<_>>().join(", ")
    }

    /// A type or trait by name, with its arguments.
    pub(crate) fn path(self, value: &Value) -> String {
        let known = &self.paths[value["id"].to_string()];
        let segments: Vec<&str> = list(&known["path"]).iter().map(text).collect();
        let name = match segments.as_slice() {
            [.., name] if known["crate_id"] == 0 => (*name).to_owned(),
            // `Error` and `Result` mean nothing without their module.
            [root, module, .., name @ ("Error" | "Result")] if STANDARD.contains(root) && *module != "result" => {
                format!("{module}::{name}")
            }
            [root, .., name] if STANDARD.contains(root) => (*name).to_owned(),
            [root, .., name] => format!("{root}::{name}"),
            _ => text(&value["path"]).trim_start_matches("$crate::").to_owned(),
        };
        name + &self.arguments(&value["args"])
    }

    fn arguments(self, value: &Value) -> String {
        let (kind, inner) = variant(value);
        match kind {
            "angle_bracketed" => {
                let arguments = list(&inner["args"]).iter().map(|argument| match variant(argument) {
                    ("lifetime", name) => text(name).to_owned(),
                    ("type", inner) => self.ty(inner),
                    ("const", inner) => text(&inner["expr"]).to_owned(),
                    ("infer", _) => "_".to_owned(),
                    _ => argument.to_string(),
                });
                let constraints = list(&inner["constraints"]).iter().map(|constraint| {
                    let name = format!("{}{}", text(&constraint["name"]), self.arguments(&constraint["args"]));
                    match variant(&constraint["binding"]) {
                        ("equality", term) => match variant(term) {
                            ("type", inner) => format!("{name} = {}", self.ty(inner)),
                            (_, inner) => format!("{name} = {}", text(&inner["expr"])),
                        },
                        (_, bounds) => format!("{name}: {}", self.bounds(bounds)),
                    }
                });
                let all: Vec<String> = arguments.chain(constraints).collect();
                if all.is_empty() { String::new() } else { format!("<{}>", all.join(", ")) }
            }
            "parenthesized" => {
                let output = if inner["output"].is_null() {
                    String::new()
                } else {
                    format!(" -> {}", self.ty(&inner["output"]))
                };
                format!("({}){output}", self.types(list(&inner["inputs"])))
            }
            "" => String::new(),
            _ => value.to_string(),
        }
    }

    /// What stands behind a colon.
    pub(crate) fn bounds(self, value: &Value) -> String {
        let bounds = list(value).iter().map(|bound| match variant(bound) {
            ("trait_bound", inner) => self.poly_trait(inner),
            ("outlives", name) => text(name).to_owned(),
            ("use", names) => {
                let names: Vec<&str> = list(names).iter().map(|name| text(variant(name).1)).collect();
                format!("use<{}>", names.join(", "))
            }
            _ => bound.to_string(),
        });
        bounds.collect::<Vec<_>>().join(" + ")
    }

    fn poly_trait(self, value: &Value) -> String {
        let modifier = match text(&value["modifier"]) {
            "maybe" => "?",
            "maybe_const" => "~const ",
            _ => "",
        };
        format!("{modifier}{}{}", self.binder(&value["generic_params"]), self.path(&value["trait"]))
    }

    /// `for<'a> `
    fn binder(self, params: &Value) -> String {
        let params = self.params(params);
        if params.is_empty() { params } else { format!("for{params} ") }
    }

    /// `<'a, T: Clone>`
    pub(crate) fn params(self, value: &Value) -> String {
        let params: Vec<String> = list(value)
            .iter()
            .filter(|param| !is_hidden(param))
            .map(|param| {
                let name = text(&param["name"]);
                let with = |sign: &str, written: String| {
                    if written.is_empty() { written } else { format!("{sign}{written}") }
                };
                match variant(&param["kind"]) {
                    ("lifetime", kind) => {
                        let outlives: Vec<&str> = list(&kind["outlives"]).iter().map(text).collect();
                        format!("{name}{}", with(": ", outlives.join(" + ")))
                    }
                    ("type", kind) => {
                        let default = if kind["default"].is_null() { String::new() } else { self.ty(&kind["default"]) };
                        format!("{name}{}{}", with(": ", self.bounds(&kind["bounds"])), with(" = ", default))
                    }
                    ("const", kind) => {
                        format!(
                            "const {name}: {}{}",
                            self.ty(&kind["type"]),
                            with(" = ", text(&kind["default"]).to_owned())
                        )
                    }
                    _ => param.to_string(),
                }
            })
            .collect();
        if params.is_empty() { String::new() } else { format!("<{}>", params.join(", ")) }
    }

    /// ` where T: Send`
    pub(crate) fn clauses(self, value: &Value) -> String {
        let clauses: Vec<String> = list(value)
            .iter()
            .map(|clause| match variant(clause) {
                ("bound_predicate", inner) => {
                    let over = self.binder(&inner["generic_params"]);
                    format!("{over}{}: {}", self.ty(&inner["type"]), self.bounds(&inner["bounds"]))
                }
                ("lifetime_predicate", inner) => {
                    let outlives: Vec<&str> = list(&inner["outlives"]).iter().map(text).collect();
                    format!("{}: {}", text(&inner["lifetime"]), outlives.join(" + "))
                }
                _ => clause.to_string(),
            })
            .filter(|clause| !clause.contains("'async_trait"))
            .collect();
        if clauses.is_empty() { String::new() } else { format!(" where {}", clauses.join(", ")) }
    }

    fn inputs_and_output(self, signature: &Value, named: bool) -> (String, String) {
        let inputs = list(&signature["inputs"]).iter().map(|input| {
            let (name, ty) = (text(&input[0]), &input[1]);
            match (name, variant(ty)) {
                ("self", ("generic", _)) => "self".to_owned(),
                ("self", ("borrowed_ref", inner)) if inner["type"]["generic"] == "Self" => {
                    let lifetime = inner["lifetime"].as_str().map(|name| format!("{name} ")).unwrap_or_default();
                    format!("&{lifetime}{}self", mutable(inner))
                }
                _ if named => format!("{name}: {}", self.ty(ty)),
                _ => self.ty(ty),
            }
        });
        let mut inputs: Vec<String> = inputs.collect();
        if signature["is_c_variadic"] == true {
            inputs.push("...".to_owned());
        }
        let output = if signature["output"].is_null() {
            String::new()
        } else {
            format!(" -> {}", self.ty(&signature["output"]))
        };
        (inputs.join(", "), output)
    }

    /// A function without its name. What the async-trait macro makes is written as it was before.
    pub(crate) fn function(self, value: &Value) -> String {
        const BOXED: (&str, &str) = (" -> Pin<Box<dyn Future<Output = ", "> + Send + 'async_trait>>");
        let generics = &value["generics"];
        let (mut inputs, mut output) = self.inputs_and_output(&value["sig"], true);
        let mut boxed = "";
        if let Some(inner) = output.strip_prefix(BOXED.0).and_then(|rest| rest.strip_suffix(BOXED.1)) {
            boxed = "boxed async ";
            output = if inner == "()" { String::new() } else { format!(" -> {inner}") };
            for number in 0..10 {
                inputs = inputs.replace(&format!("'life{number} "), "").replace(&format!("'life{number}"), "'_");
            }
        }
        format!(
            "{boxed}{}fn{}({inputs}){output}{}",
            qualifiers(&value["header"]),
            self.params(&generics["params"]),
            self.clauses(&generics["where_predicates"])
        )
    }
}

fn mutable(value: &Value) -> &'static str {
    if value["is_mutable"] == true { "mut " } else { "" }
}

/// A parameter that a person did not write: one of `impl Trait`, or a lifetime of the async-trait macro.
fn is_hidden(param: &Value) -> bool {
    let name = text(&param["name"]);
    param["kind"]["type"]["is_synthetic"] == true
        || name == "'async_trait"
        || name.strip_prefix("'life").is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit()))
}

/// `const unsafe async extern "C" `
fn qualifiers(header: &Value) -> String {
    let mut written = String::new();
    for (member, word) in [("is_const", "const "), ("is_async", "async "), ("is_unsafe", "unsafe ")] {
        if header[member] == true {
            written += word;
        }
    }
    match variant(&header["abi"]) {
        ("Rust" | "", _) => {}
        (abi, _) => written.extend(["extern \"", abi, "\" "]),
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ty(value: &Value) -> String {
        let paths = json!({
            "1": {"crate_id": 0, "path": ["ours", "inner", "Record"]},
            "2": {"crate_id": 2, "path": ["core", "result", "Result"]},
            "3": {"crate_id": 1, "path": ["std", "io", "error", "Error"]},
            "4": {"crate_id": 9, "path": ["bytes", "bytes", "Bytes"]},
            "5": {"crate_id": 2, "path": ["core", "marker", "Send"]},
        });
        Signatures { paths: &paths }.ty(value)
    }

    fn named(id: u32, args: &Value) -> Value {
        json!({"resolved_path": {"path": "as::written", "id": id, "args": args}})
    }

    #[test]
    fn a_name_does_not_depend_on_its_import() {
        let args = json!({"angle_bracketed": {"args": [{"type": named(1, &Value::Null)}, {"type": named(3, &Value::Null)}], "constraints": []}});
        assert_eq!(ty(&named(2, &args)), "Result<Record, io::Error>");
        assert_eq!(ty(&named(4, &Value::Null)), "bytes::Bytes");
        assert_eq!(ty(&named(99, &Value::Null)), "as::written");
    }

    #[test]
    fn references_to_several_traits_have_parentheses() {
        let bound = json!({"trait": {"path": "Send", "id": 5, "args": null}, "generic_params": []});
        let object = json!({"dyn_trait": {"traits": [bound], "lifetime": "'a"}});
        assert_eq!(
            ty(&json!({"borrowed_ref": {"lifetime": null, "is_mutable": true, "type": object}})),
            "&mut (dyn Send + 'a)"
        );
    }

    #[test]
    fn what_is_unknown_is_kept() {
        assert_eq!(ty(&json!({"new_kind": 1})), r#"{"new_kind":1}"#);
    }
}
