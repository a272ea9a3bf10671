use crate::folder::Marker;
use crate::form::Form as _;

use super::vault::Vault;

pub(super) const MARKER: Marker = Marker { file: "manifest.json", format: Vault::FORMAT };
