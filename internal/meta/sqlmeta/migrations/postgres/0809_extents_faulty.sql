-- +goose Up
CREATE INDEX extents_faulty ON extents (blob_id) WHERE fault IS NOT NULL;
