-- +goose Up
CREATE TABLE retrieval_policies (
    account        TEXT COLLATE "C" NOT NULL,
    region         TEXT COLLATE "C" NOT NULL,
    strategy       TEXT COLLATE "C" NOT NULL CHECK (strategy IN ('BytesPerHour', 'FreeTier', 'None')),
    bytes_per_hour BIGINT           NOT NULL CHECK (bytes_per_hour >= 0),
    PRIMARY KEY (account, region)
);
