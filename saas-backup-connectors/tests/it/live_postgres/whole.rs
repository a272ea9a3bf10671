use saas_backup_connectors::postgres::Postgres;
use saas_backup_core::testkit::Contents;
use saas_backup_core::{
    Connector as _, ErrorKind, Key, RunStatus, SnapshotOptions, TransferOptions, WriteMode, transfer,
};

use super::support::{Instance, Scratch, backup, contents, copy};

const SHOP: &str = include_str!("shop.sql");

/// One of each: the roles in it are the server's, so one test at a time makes them.
async fn shop() -> Scratch {
    let shop = Scratch::new().await;
    let roles = "CREATE ROLE shop_owner;\nCREATE ROLE \"shop reader\" LOGIN;\n";
    let guarded = "DO $$ BEGIN PERFORM pg_advisory_lock(4242); \
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'shop_owner') THEN CREATE ROLE shop_owner; CREATE ROLE \"shop reader\" LOGIN; END IF; END $$;";
    assert!(SHOP.contains(roles));
    shop.run(guarded).await;
    shop.run(&SHOP.replace(roles, "")).await;
    shop
}

fn record(contents: &Contents, collection: &str, id: &str) -> String {
    let key = Key::parse(collection, id).unwrap();
    contents.records.get(&key).unwrap_or_else(|| panic!("no {key}")).data.as_str().to_owned()
}

#[tokio::test]
#[ignore = "needs testing/servers up postgres"]
async fn a_database_comes_back_as_it_was() {
    let (source, target) = (shop().await, Scratch::new().await);
    let copy = copy();
    backup(&source.connector(), &copy).await;

    let restored = transfer(&copy, &target.connector(), TransferOptions::new(WriteMode::Create)).await.unwrap();
    assert_eq!(restored.report.status, RunStatus::Complete, "{:#?}", restored.report.refused);
    assert_eq!(restored.report.losses.len(), 0, "{:?}", restored.report.losses);
    assert_eq!(target.schema(), source.schema());
    let (before, after) = (contents(&source.plain()).await, contents(&target.plain()).await);
    assert_eq!(before.differences(&after), Vec::<String>::new());
    assert!(before.records.len() > 60 && before.blobs.len() == 2, "{} {}", before.records.len(), before.blobs.len());

    // New rows go on where the old ones ended.
    target
        .run("INSERT INTO shop.customers (name) VALUES ('new'); INSERT INTO shop.orders (customer) VALUES (10)")
        .await;
}

#[tokio::test]
#[ignore = "needs testing/servers up postgres"]
async fn values_are_kept_exactly() {
    let shop = shop().await;
    let contents = contents(&shop.plain()).await;
    let ada = record(&contents, "shop.customers", "10");
    assert!(ada.contains(r#""settings":{"n": 1.10, "big": 18446744073709551616}"#), "{ada}");
    assert!(ada.contains(r#""original":"{\"b\" : 1,\n\"b\": 2}""#), "{ada}");
    assert!(ada.contains(r#""name":"Ada\tLovelace\n\\N""#) && !ada.contains("parent"), "{ada}");
    let bob = record(&contents, "shop.customers", "11");
    assert!(
        bob.contains(r#""settings":null"#) && bob.contains(r#""original":"null""#) && !bob.contains("address"),
        "{bob}"
    );
    let order = record(&contents, "shop.orders", "11,");
    assert!(order.contains(r#""exact":123456789012345678901234567890.123456789,"small":1e-30"#), "{order}");
    assert!(!order.contains("with_tax"), "{order}");
    assert!(record(&contents, "shop.orders", "10,B%2c2%25").contains(r#""state":"sent, maybe""#));
    assert!(record(&contents, "shop.\"Odd, Name\"", "%2c,2").contains(r#""c\"d":2"#));
    let twice = contents.records.keys().filter(|key| key.collection.as_str() == "shop.keyless").count();
    assert_eq!(twice, 3);
}

#[tokio::test]
#[ignore = "needs testing/servers up postgres"]
async fn a_second_run_without_changes_writes_nothing() {
    let shop = shop().await;
    let copy = copy();
    backup(&shop.connector(), &copy).await;
    let again = backup(&shop.connector(), &copy).await;
    assert_eq!(again.report.totals().written, 0, "{:?}", again.report);
}

#[tokio::test]
#[ignore = "needs testing/servers up postgres"]
async fn one_row_comes_back_into_the_database_that_lost_it() {
    let shop = shop().await;
    let copy = copy();
    backup(&shop.connector(), &copy).await;
    shop.run("DELETE FROM shop.lines; UPDATE shop.orders SET notes = 'spoilt' WHERE number = 'A-1'").await;
    let keys = vec![Key::parse("shop.lines", "10,A-1,1").unwrap(), Key::parse("shop.orders", "10,A-1").unwrap()];

    let options = TransferOptions::new(WriteMode::Merge).with_records(keys.clone());
    let merged = transfer(&copy, &shop.connector(), options).await.unwrap();
    assert_eq!((merged.report.totals().written, merged.report.totals().skipped), (1, 1), "{:?}", merged.report);
    assert!(record(&contents(&shop.plain()).await, "shop.orders", "10,A-1").contains("spoilt"));

    let options = TransferOptions::new(WriteMode::Overwrite).with_records(keys).with_dry_run(true);
    let tried = transfer(&copy, &shop.connector(), options.clone()).await.unwrap();
    assert_eq!(tried.report.totals().written, 2, "{:?}", tried.report);
    assert!(record(&contents(&shop.plain()).await, "shop.orders", "10,A-1").contains("spoilt"));

    transfer(&copy, &shop.connector(), options.with_dry_run(false)).await.unwrap();
    let now = contents(&shop.plain()).await;
    assert!(!record(&now, "shop.orders", "10,A-1").contains("spoilt"));
    assert!(record(&now, "shop.lines", "10,A-1,1").contains("pen"));
}

#[tokio::test]
#[ignore = "needs testing/servers up postgres"]
async fn what_a_role_may_not_do_is_said_with_the_statement_that_lets_it() {
    let database = Scratch::new().await;
    let role = format!("role_{}", database.name);
    database
        .run(&format!(
            "CREATE ROLE {role} LOGIN PASSWORD 'poor'; CREATE TABLE open (id int PRIMARY KEY); CREATE TABLE shut (id int PRIMARY KEY);
             CREATE TABLE own (id int PRIMARY KEY, who text); ALTER TABLE own ENABLE ROW LEVEL SECURITY;
             INSERT INTO open VALUES (1); INSERT INTO shut VALUES (1); GRANT SELECT ON open, own TO {role}"
        ))
        .await;
    let poor = || database.settings().with_user(role.as_str()).with_password("poor".to_owned());
    let next = |error: &saas_backup_core::Error| {
        error.context().find(|(name, _)| *name == "next").map(|(_, next)| next.to_owned()).unwrap_or_default()
    };

    let error = Postgres::new(poor()).unwrap().check().await.unwrap_err();
    assert!(next(&error).contains(&format!("ALTER ROLE \"{role}\" REPLICATION")), "{error:?}");
    database.run(&format!("ALTER ROLE {role} REPLICATION")).await;

    let copy = copy();
    let told = transfer(&Postgres::new(poor()).unwrap(), &copy, TransferOptions::backup()).await.unwrap().report;
    let told = format!("{told:?}");
    assert!(told.contains("CREATE PUBLICATION") && told.contains("as the tables' owner"), "{told}");

    // Without increments no right but SELECT is needed, and what is missing is a gap.
    let reads = Postgres::new(poor().with_increments(false)).unwrap();
    let report = transfer(&reads, &copy, TransferOptions::backup()).await.unwrap().report;
    assert_eq!(report.status, RunStatus::Incomplete);
    let gaps: Vec<String> = report.gaps.iter().filter_map(|open| open.gap.problem.detail.clone()).collect();
    assert_eq!(gaps.len(), 2, "{gaps:?}");
    assert!(
        gaps.iter().any(|gap| gap.contains(&format!("GRANT SELECT ON \"public\".\"shut\" TO \"{role}\""))),
        "{gaps:?}"
    );
    assert!(gaps.iter().any(|gap| gap.contains(&format!("ALTER ROLE \"{role}\" BYPASSRLS"))), "{gaps:?}");
    database.run(&format!("GRANT SELECT ON shut TO {role}; ALTER ROLE {role} BYPASSRLS")).await;
    backup(&reads, &copy).await;
    database.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;

    let wrong = Postgres::new(database.settings().with_password("wrong".to_owned())).unwrap();
    let error = wrong.check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error:?}");
    assert!(!format!("{error:?}").contains("wrong\""), "{error:?}");
}

#[tokio::test]
#[ignore = "needs testing/servers up postgres"]
async fn a_connection_is_encrypted_and_the_servers_certificate_is_verified() {
    let mut server = Instance::new().await;
    let certificate = server.encrypt().await;
    let settings = |host: &str, trusts: Option<&std::path::Path>| {
        let mut settings = server.settings().with_increments(false);
        settings.host = host.to_owned();
        settings.tls = Some(true);
        settings.ca_file = trusts.map(std::path::Path::to_owned);
        Postgres::new(settings)
    };
    settings("127.0.0.1", Some(&certificate)).unwrap().check().await.unwrap();
    let encrypted = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND application_name = 'saas-backup'";
    let source = settings("127.0.0.1", Some(&certificate)).unwrap();
    let held = source.snapshot(SnapshotOptions::default()).await.unwrap();
    let row = server.client().await.query_one(encrypted, &[]).await.unwrap();
    assert!(row.get::<_, i64>(0) > 0, "{held:?}");
    // Another name, or an issuer that nobody trusts.
    for (host, trusts) in [("localhost", Some(certificate.as_path())), ("127.0.0.1", None)] {
        let error = settings(host, trusts).unwrap().check().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error:?}");
    }
    let error = settings("127.0.0.1", Some(std::path::Path::new("/nowhere"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
}
