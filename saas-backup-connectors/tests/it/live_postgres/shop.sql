-- A database that has one of each.
CREATE ROLE shop_owner;
CREATE ROLE "shop reader" LOGIN;
CREATE SCHEMA shop AUTHORIZATION shop_owner;
CREATE EXTENSION IF NOT EXISTS pgcrypto WITH SCHEMA shop;
COMMENT ON SCHEMA shop IS 'what is sold; and ''quoted''';
CREATE TYPE shop.state AS ENUM ('new', 'paid', 'sent, maybe');
CREATE TYPE shop.money_range AS RANGE (SUBTYPE = numeric);
CREATE TYPE shop.place AS (street text, "house number" int);
CREATE DOMAIN shop.email AS text CHECK (VALUE LIKE '%@%');
CREATE DOMAIN shop.price AS numeric(12, 2) NOT NULL DEFAULT 0;
CREATE SEQUENCE shop.numbers INCREMENT BY 5 START WITH 100 CACHE 1;

CREATE FUNCTION shop.tax(amount numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT amount * 0.19 $$;
CREATE FUNCTION shop.touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.touched := coalesce(NEW.touched, 0) + 1;
    RETURN NEW;
END $$;

CREATE TABLE shop.customers (
    id bigint GENERATED ALWAYS AS IDENTITY (START WITH 10) PRIMARY KEY,
    email shop.email UNIQUE,
    name text NOT NULL,
    address shop.place,
    tags text[] DEFAULT '{}',
    settings jsonb NOT NULL DEFAULT '{}',
    original json,
    picture bytea,
    since timestamptz NOT NULL DEFAULT '2026-01-01T00:00:00Z',
    touched int,
    parent bigint REFERENCES shop.customers (id) DEFERRABLE
);
COMMENT ON COLUMN shop.customers.name IS 'as they say it';
CREATE INDEX customers_name ON shop.customers (lower(name)) WHERE name <> '';
CREATE TRIGGER touch BEFORE UPDATE ON shop.customers FOR EACH ROW EXECUTE FUNCTION shop.touch();

CREATE TABLE shop.orders (
    customer bigint NOT NULL REFERENCES shop.customers ON DELETE CASCADE,
    number text NOT NULL DEFAULT nextval('shop.numbers'::regclass)::text,
    state shop.state NOT NULL DEFAULT 'new',
    total shop.price,
    with_tax numeric GENERATED ALWAYS AS (shop.tax(total)) STORED,
    during tstzrange,
    spread shop.money_range,
    weight double precision,
    exact numeric,
    small real,
    paid boolean,
    notes text,
    PRIMARY KEY (customer, number),
    CONSTRAINT sensible CHECK (total >= 0)
);
CREATE TABLE shop.lines (
    customer bigint, number text, position smallint CHECK (position > 0), article text, wait interval, at inet,
    PRIMARY KEY (customer, number, position),
    FOREIGN KEY (customer, number) REFERENCES shop.orders (customer, number)
);
CREATE TABLE shop.events (
    id bigserial, day date NOT NULL, what xml, PRIMARY KEY (id, day)
) PARTITION BY RANGE (day);
CREATE TABLE shop.events_2026 PARTITION OF shop.events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE shop.events_rest PARTITION OF shop.events DEFAULT;
CREATE INDEX events_day ON shop.events (day);
CREATE TABLE shop."Odd, Name" ("a%b" text, "c""d" int, PRIMARY KEY ("a%b", "c""d"));
CREATE TABLE shop.keyless (word text, number int);
CREATE TABLE shop.identified (code text NOT NULL, word text, big text);
CREATE UNIQUE INDEX identified_code ON shop.identified (code);
ALTER TABLE shop.identified REPLICA IDENTITY USING INDEX identified_code;
CREATE TABLE shop.base (id int PRIMARY KEY, label text);
CREATE TABLE shop.derived (extra text) INHERITS (shop.base);
ALTER TABLE shop.derived ADD PRIMARY KEY (id);
CREATE UNLOGGED TABLE shop.cache (id int PRIMARY KEY, body text);
CREATE VIEW shop.paid_orders AS SELECT * FROM shop.orders WHERE paid;
CREATE VIEW shop.best AS SELECT count(*) AS many FROM shop.paid_orders;
CREATE MATERIALIZED VIEW shop.totals AS SELECT customer, sum(total) AS total FROM shop.orders GROUP BY customer;
CREATE UNIQUE INDEX totals_customer ON shop.totals (customer);
CREATE STATISTICS shop.orders_stats ON customer, number FROM shop.orders;
ALTER TABLE shop.lines ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_lines ON shop.lines FOR SELECT TO "shop reader" USING (customer > 0);
ALTER TABLE shop.orders OWNER TO shop_owner;
GRANT SELECT ON shop.orders, shop.lines TO "shop reader";
GRANT UPDATE (notes) ON shop.orders TO "shop reader" WITH GRANT OPTION;
GRANT USAGE ON SCHEMA shop TO "shop reader";

INSERT INTO shop.customers (email, name, address, tags, settings, original, picture, parent) VALUES
    ('ada@example.com', E'Ada\tLovelace\n\\N', ROW('Main "Street"', 7), '{a,"b,c",NULL}', '{"n": 1.10, "big": 18446744073709551616}', '{"b" : 1,
"b": 2}', '\x00ff', NULL),
    ('bob@example.com', 'Bob', NULL, NULL, 'null', 'null', '', 10),
    (NULL, '', ROW(NULL, NULL), '{}', '"text"', NULL, NULL, 11);
INSERT INTO shop.orders (customer, number, state, total, during, spread, weight, exact, small, paid, notes) VALUES
    (10, 'A-1', 'paid', 12.50, '[2026-01-01T00:00:00Z,)', '[1.5,2)', 'NaN', 'NaN', '-Infinity', true, NULL),
    (10, 'B,2%', 'sent, maybe', 0, 'empty', NULL, 0.1, 1.10, 0.1, false, ''),
    (11, '', 'new', 999.99, NULL, NULL, 1e300, 123456789012345678901234567890.123456789, 1e-30, NULL, 'ünïcödé ☃ 𝄞');
INSERT INTO shop.orders (customer) VALUES (12), (12);
INSERT INTO shop.lines VALUES (10, 'A-1', 1, 'pen', '1 mon 2 days 03:04:05.678', '10.0.0.1/8'), (10, 'B,2%', 2, 'ink', NULL, '::1');
INSERT INTO shop.events (day, what) SELECT '2026-01-01'::date + n, xmlparse(content '<a/>') FROM generate_series(0, 9) n;
INSERT INTO shop.events (day) VALUES ('2020-02-02');
INSERT INTO shop."Odd, Name" VALUES ('', 1), (',', 2), ('%', 3), (repeat('long ', 500), 4);
INSERT INTO shop.keyless VALUES ('twice', 1), ('twice', 1), (NULL, NULL);
INSERT INTO shop.identified VALUES ('x', 'first', (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 2000) n));
INSERT INTO shop.base VALUES (1, 'base');
INSERT INTO shop.derived VALUES (1, 'derived', 'extra');
INSERT INTO shop.cache VALUES (1, 'kept, too');
REFRESH MATERIALIZED VIEW shop.totals;
SELECT lo_from_bytea(4242, decode(repeat('00ff10', 1000000), 'hex')), lo_from_bytea(4243, '');
ALTER LARGE OBJECT 4242 OWNER TO shop_owner;
