-- +goose Up
ALTER TABLE extents ADD COLUMN fault TEXT;
