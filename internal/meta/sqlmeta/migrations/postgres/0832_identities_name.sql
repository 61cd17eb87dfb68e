-- +goose Up
CREATE UNIQUE INDEX identities_name ON identities (account, kind, name);
