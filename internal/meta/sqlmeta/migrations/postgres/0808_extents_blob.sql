-- +goose Up
CREATE UNIQUE INDEX extents_blob ON extents (blob_id);
