-- +goose Up
CREATE TABLE retrieval_policies (
    account        TEXT   NOT NULL,
    region         TEXT   NOT NULL,
    strategy       TEXT   NOT NULL CHECK (strategy IN ('BytesPerHour', 'FreeTier', 'None')),
    bytes_per_hour BIGINT NOT NULL CHECK (bytes_per_hour >= 0),
    PRIMARY KEY (account, region)
);
