use saas_backup_core::{
    Body, Catalog, Collection, CollectionName, Error, ErrorKind, FieldMapping, Json, Kind, ManualClock, Markup,
    RefRule, Result,
};
use saas_backup_export_api::{
    AccountId, CursorKey, ExportConfig, MemoryAccount, MemorySource, Principal, Schema, Scope, ServiceInfo,
    StaticTokens, router,
};
use tokio::task::JoinHandle;

/// Serves an empty account on a free port.
pub(super) async fn serve(token: &str, clock: ManualClock) -> Result<(MemoryAccount, String, JoinHandle<()>)> {
    let service = ServiceInfo::new("demo-notes", "Demo Notes", "Example Ltd");
    let source = MemorySource::new(service, Schema::new(catalog()?)).with_clock(clock.clone());
    let id = AccountId::parse("demo")?;
    let account = source.account(&id);
    let scopes = [Scope::Read, Scope::Blobs, Scope::Erasures, Scope::Import];
    let principal = Principal::new("you").with_account(id).with_scopes(scopes);
    let tokens = StaticTokens::default().with(&token.into(), principal);

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let base = format!("{url}/export/v1").parse();
    let base = base.map_err(|_| Error::new(ErrorKind::Unexpected, "the address of a local port is none"))?;
    // The service ends with the program, and its cursors with it: the key need not be secret or last.
    let config = ExportConfig::new(base, tokens, CursorKey::from_bytes(*b"the demo's cursors are no secret"))?;
    let app = router(source, config.with_clock(clock));
    let serving = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, app).await {
            eprintln!("the demo service ended: {error}");
        }
    });
    Ok((account, url, serving))
}

fn catalog() -> Result<Catalog> {
    let name = CollectionName::from_static;
    let titled = |path: &str| {
        let mut fields = FieldMapping::default();
        fields.title = Some(path.to_owned());
        fields
    };
    let users = Collection::new(name("users"), Kind::User).with_title("People").with_fields(titled("name"));
    let notebooks =
        Collection::new(name("notebooks"), Kind::Folder).with_title("Notebooks").with_fields(titled("title"));

    let mut fields = titled("title");
    fields.body = Some(Body::new("body", Markup::Markdown));
    fields.url = Some("url".to_owned());
    fields.parent = Some("notebook".to_owned());
    fields.author = Some("author".to_owned());
    fields.properties.insert("tags".to_owned(), "tags".to_owned());
    let notes = Collection::new(name("notes"), Kind::Document)
        .with_title("Notes")
        .with_schema(Json::parse(
            r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object",
                "required":["title","body","url"],"properties":{"title":{"type":"string"},
                "body":{"type":"string","contentMediaType":"text/markdown"},"url":{"type":"string","format":"uri"},
                "tags":{"type":"array","items":{"type":"string"}}}}"#,
        )?)
        .with_ref(RefRule::one("author", name("users")))
        .with_ref(RefRule::one("notebook", name("notebooks")).required())
        .with_blobs()
        .with_fields(fields);

    let mut fields = FieldMapping::default();
    fields.body = Some(Body::new("text", Markup::Markdown));
    fields.author = Some("author".to_owned());
    fields.parent = Some("note".to_owned());
    let comments = Collection::new(name("comments"), Kind::Comment)
        .with_title("Comments")
        .with_ref(RefRule::one("note", name("notes")).required())
        .with_ref(RefRule::one("author", name("users")))
        .with_fields(fields);
    let collections = [users, notebooks, notes, comments].map(Collection::with_restore);
    Ok(Catalog::new(collections.to_vec()))
}
