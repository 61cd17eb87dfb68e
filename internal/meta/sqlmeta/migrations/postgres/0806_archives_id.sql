-- +goose Up
CREATE UNIQUE INDEX archives_id ON archives (archive_id);
