-- +goose Up
ALTER TABLE extents_clustered RENAME TO extents;
