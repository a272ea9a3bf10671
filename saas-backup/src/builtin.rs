//! What this build has.

use crate::registry::Registry;

type AddTo = fn(&mut Registry);

/// One entry a feature.
const BUILT_IN: &[AddTo] = &[
    #[cfg(feature = "airbyte")]
    airbyte,
    #[cfg(feature = "auto")]
    auto,
    #[cfg(feature = "bagit")]
    bagit,
    #[cfg(feature = "csv")]
    csv,
    #[cfg(feature = "declarative")]
    declarative,
    #[cfg(feature = "files")]
    files,
    #[cfg(feature = "git")]
    git,
    #[cfg(feature = "html")]
    html,
    #[cfg(feature = "ics")]
    ics,
    #[cfg(feature = "jsonl")]
    jsonl,
    #[cfg(feature = "mail")]
    mail,
    #[cfg(feature = "markdown")]
    markdown,
    #[cfg(feature = "open-export")]
    open_export,
    #[cfg(feature = "parquet")]
    parquet,
    #[cfg(feature = "postgres")]
    postgres,
    #[cfg(feature = "singer")]
    singer,
    #[cfg(feature = "sqlite")]
    sqlite,
    #[cfg(feature = "vcf")]
    vcf,
    #[cfg(feature = "wordpress")]
    wordpress,
    #[cfg(feature = "wxr")]
    wxr,
];

/// Adds a format of one connector.
macro_rules! folder_format {
    ($feature:literal, $name:ident, $config:ident, $connector:ident, $summary:literal $(, $more:ident)*) => {
        #[cfg(feature = $feature)]
        fn $name(registry: &mut Registry) {
            use saas_backup_formats::$name::{check, $config, $connector};

            registry
                .format($feature, $summary, |config: $config, _| Ok(std::sync::Arc::new($connector::new(config))))
                .checked_by(check)
                $(.$more())*;
        }
    };
}

folder_format!("auto", auto, AutoConfig, AutoConnector, "Each collection in the form that fits it: a folder for each");
folder_format!("bagit", bagit, BagItConfig, BagItConnector, "Bag with RO-Crate metadata, for years; reads back");
folder_format!("csv", csv, CsvConfig, CsvConnector, "Tables with types and keys in a Data Package; cells read back");
folder_format!("files", files, FilesConfig, FilesConnector, "Original files in their folders; reads back");
folder_format!(
    "git",
    git,
    GitConfig,
    GitConnector,
    "Repositories as bundles, and what was said about them; reads back"
);
folder_format!(
    "html",
    html,
    HtmlConfig,
    HtmlConnector,
    "Site of pages with a search, without a server; reads back",
    showing_history
);
folder_format!("ics", ics, IcsConfig, IcsConnector, "Calendars for every calendar program; reads back");
folder_format!(
    "markdown",
    markdown,
    MarkdownConfig,
    MarkdownConnector,
    "Vault of pages with front matter, attachments and links that resolve; reads back"
);
folder_format!("parquet", parquet, ParquetConfig, ParquetConnector, "Columns with nested types, for analysis");
folder_format!("sqlite", sqlite, SqliteConfig, SqliteConnector, "Database with keys and full-text search; reads back");
folder_format!("vcf", vcf, VcfConfig, VcfConnector, "Contacts as vCard 4.0 and 3.0; reads back");

folder_format!("wxr", wxr, WxrConfig, WxrConnector, "Posts and comments for the importer of WordPress; reads back");

/// Mail in three layouts: three formats of one feature.
#[cfg(feature = "mail")]
fn mail(registry: &mut Registry) {
    use std::sync::Arc;

    use saas_backup_formats::mail::{MailConfig, MailConnector, MailLayout, check};

    for (name, layout, summary) in [
        ("eml", MailLayout::Eml, "Mail, a file a message, byte for byte; reads back"),
        ("mbox", MailLayout::Mbox, "Mail, a file a mailbox, for import; reads back"),
        ("maildir", MailLayout::Maildir, "Mail, a Maildir a mailbox, for mail servers; reads back"),
    ] {
        registry
            .format(name, summary, move |config: MailConfig, _| Ok(Arc::new(MailConnector::new(layout, config))))
            .checked_by(check);
    }
}

/// All connectors and formats that this build has.
impl Default for Registry {
    fn default() -> Self {
        let mut registry = Self::empty();
        for add in BUILT_IN {
            add(&mut registry);
        }
        registry
    }
}

#[cfg(feature = "airbyte")]
fn airbyte(registry: &mut Registry) {
    use std::sync::Arc;

    use saas_backup_connectors::airbyte::{Airbyte, AirbyteConfig};

    registry
        .connector("airbyte", "Whatever a source of Airbyte reads, as a program beside us", |config: AirbyteConfig, context| {
            Ok(Arc::new(Airbyte::new(config.in_folder(&context.base))))
        })
        .document(
            "Runs a source of Airbyte, installed from PyPI or in a container, once for each collection, and goes on from the\n\
             last state that it gave. `config` holds the settings that it asks for; what it replaces in them is kept in\n\
             `config_file`. Reads only: nothing is restored. docs/connectors/airbyte.md says it all.",
        );
}

#[cfg(feature = "declarative")]
fn declarative(registry: &mut Registry) {
    use std::sync::Arc;

    use saas_backup_declarative::{BUILT_IN, BuiltInConfig, Declarative, DeclarativeConfig};

    registry
        .connector("declarative", "Whatever a low-code manifest of Airbyte describes", |config: DeclarativeConfig, context| {
            Ok(Arc::new(Declarative::new(config.in_folder(&context.base))?))
        })
        .document(
            "Runs a manifest unchanged: `manifest` is its file, `config` holds the settings that it asks for, and a file\n\
             NAME.overlay.yaml beside it says how records are read and where attachments are. Reads only. A collection\n\
             that needs what this engine has not is an error of its own; the others are read. docs/declarative.md says it all.",
        );
    for built_in in BUILT_IN {
        registry
            .connector(built_in.name, built_in.title, |config: BuiltInConfig, context| {
                Ok(Arc::new(Declarative::built_in(built_in.name, config.in_folder(&context.base))?))
            })
            .described_by(|| built_in.schema())
            .document(
                "Reads what the manifest of this name describes, with attachments where the provider has them; nothing is\n\
                 restored. docs/declarative.md says how it is read, and what a copy of a manifest that you change is for.",
            );
    }
}

#[cfg(feature = "jsonl")]
fn jsonl(registry: &mut Registry) {
    use std::sync::Arc;

    use saas_backup_formats::jsonl::{JsonlConfig, JsonlConnector, check};

    registry
        .connector("jsonl", "An archive that an export made", move |config: JsonlConfig, context| {
            Ok(Arc::new(JsonlConnector::new(JsonlConfig::new(context.base.join(config.path)))))
        })
        .document("Reads an archive as if it were an account: to look at one, or to move it into a repository.");
    let summary = "Lossless archive: lines, schemas, attachments, digests; reads back";
    registry
        .format("jsonl", summary, |config: JsonlConfig, _| Ok(Arc::new(JsonlConnector::new(config))))
        .checked_by(check);
}

#[cfg(feature = "open-export")]
fn open_export(registry: &mut Registry) {
    use std::sync::Arc;

    use saas_backup_connectors::open_export::{OpenExportConfig, OpenExportConnector};

    registry
        .connector("open-export", "Services that speak the Open Export Protocol", |config: OpenExportConfig, _| {
            Ok(Arc::new(OpenExportConnector::new(config)?))
        })
        .document(
            "Captures every collection of the service's export, with relationships, permissions, the trash and\n\
             attachments; increments and deletions come from its log of changes. Reads only: nothing is restored.\n\
             A token that may read the export is enough.",
        );
}

#[cfg(feature = "postgres")]
fn postgres(registry: &mut Registry) {
    use std::sync::Arc;

    use saas_backup_connectors::postgres::{Postgres, PostgresConfig};

    registry
        .connector("postgres", "PostgreSQL databases, also on RDS, Aurora and Cloud SQL", |config: PostgresConfig, context| {
            Ok(Arc::new(Postgres::new(config.in_folder(&context.base))?))
        })
        .document(
            "Captures every table from one consistent view, definitions, sequences, rights and large objects; increments\n\
             are read from the server's log by a replication slot, one for each repository. Restores into an empty\n\
             database, or rows into the one that lost them, in one transaction. The role needs SELECT on all tables and the\n\
             right to replicate; whatever is missing is said with its GRANT. docs/connectors/postgres.md says it all.",
        );
}

#[cfg(feature = "singer")]
fn singer(registry: &mut Registry) {
    use std::sync::Arc;

    use saas_backup_connectors::singer::{Singer, SingerConfig};

    registry
        .connector("singer", "Whatever a tap of Singer reads, as a program beside us", |config: SingerConfig, context| {
            Ok(Arc::new(Singer::new(config.in_folder(&context.base))))
        })
        .document(
            "Runs a tap of Singer once for each collection, and goes on from the last state that it gave. `config` holds\n\
             the settings that it asks for; what it replaces in them is kept in `config_file`. Reads only: nothing is\n\
             restored. docs/connectors/singer.md says it all.",
        );
}

#[cfg(feature = "wordpress")]
fn wordpress(registry: &mut Registry) {
    use std::sync::Arc;

    use saas_backup_connectors::wordpress::{WordPress, WordPressConfig};

    registry
        .connector("wordpress", "Self-hosted WordPress sites", |config: WordPressConfig, _| {
            Ok(Arc::new(WordPress::new(&config)?))
        })
        .document(
            "Captures posts and pages in every state, media with their files, comments, terms, users, menus, blocks,\n\
             templates, settings, custom types and revisions; not themes, plugins and what the REST API does not show.\n\
             An administrator sees everything; what the user may not see, the completeness report says. Restores into\n\
             the same or another site. docs/connectors/wordpress.md says it all.",
        );
}
