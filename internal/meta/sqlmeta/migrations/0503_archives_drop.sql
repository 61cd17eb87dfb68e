-- +goose Up
DROP TABLE archives;
