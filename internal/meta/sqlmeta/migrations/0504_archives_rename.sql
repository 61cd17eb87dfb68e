-- +goose Up
ALTER TABLE archives_clustered RENAME TO archives;
