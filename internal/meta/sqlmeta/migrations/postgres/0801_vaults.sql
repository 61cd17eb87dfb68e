-- +goose Up
CREATE TABLE vaults (
    vault_id           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account            TEXT COLLATE "C" NOT NULL,
    region             TEXT COLLATE "C" NOT NULL,
    name               TEXT COLLATE "C" NOT NULL,
    created_ms         BIGINT,
    archives           BIGINT           NOT NULL CHECK (archives >= 0),
    bytes              BIGINT           NOT NULL CHECK (bytes >= 0),
    first_write_ms     BIGINT,
    last_write_ms      BIGINT,
    inventoried_ms     BIGINT,
    inventory_archives BIGINT           NOT NULL CHECK (inventory_archives >= 0),
    inventory_bytes    BIGINT           NOT NULL CHECK (inventory_bytes >= 0),
    inventory_due_ms   BIGINT,
    revision           BIGINT           NOT NULL DEFAULT 0
);
