//! Open formats: archives and vaults that everybody can open.
