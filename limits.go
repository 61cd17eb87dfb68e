package moraine

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Sizes and limits of the service (glacier-api §1.14). They are part of the
// wire contract: changing one changes what clients see.
const (
	MiB = 1 << 20

	// PartSizeMin and PartSizeMax bound the thirteen part sizes, 1 MiB × 2^n.
	PartSizeMin int64 = MiB
	PartSizeMax int64 = 4096 * MiB
	// PartsMax is the number of parts one multipart upload may have.
	PartsMax = 10_000
	// ArchiveSizeMax bounds a single upload and a single part, in bytes.
	ArchiveSizeMax int64 = 4096 * MiB
	// DescriptionMax bounds archive and job descriptions, in bytes.
	DescriptionMax = 1024
	// VaultNameMax bounds a vault name, in characters.
	VaultNameMax = 255
	// VaultsMax is the number of vaults per account and region.
	VaultsMax = 1000
	// ArchiveOverhead is added to each archive in a vault's SizeInBytes.
	ArchiveOverhead = 32_768

	// TagsMax is the number of tags of a vault, TagsRequestMax of one request;
	// TagKeyMax and TagValueMax bound their lengths, in characters.
	TagsMax        = 50
	TagsRequestMax = 10
	TagKeyMax      = 128
	TagValueMax    = 255
	// CapacityUnitsMax is the number of capacity units per account and region.
	CapacityUnitsMax = 2

	// VaultsPageMax and ListPageMax are default and maximum page sizes
	// (§1.13).
	VaultsPageMax = 10
	ListPageMax   = 50
)

// Retention is how long open uploads without activity, remembered uploads
// after their end, and finished jobs are kept, unless the operator says more.
const Retention = 24 * time.Hour

// LockWindow is how long an initiated lock waits to be completed.
const LockWindow = 24 * time.Hour

// ValidPartSize reports whether n is one of the thirteen part sizes (§5.1).
func ValidPartSize(n int64) bool {
	return n >= PartSizeMin && n <= PartSizeMax && n&(n-1) == 0
}

// ValidVaultName reports whether s may name a vault: 1 to 255 of A-Z a-z 0-9
// _ - . and neither "." nor ".." (§1.14).
func ValidVaultName(s string) bool {
	if s == "" || len(s) > VaultNameMax || s == "." || s == ".." {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-', c == '.':
		default:
			return false
		}
	}
	return true
}

// ValidDescription reports whether s may describe an archive or a job: at most
// 1024 bytes, each 0x20 to 0x7E (§1.14).
func ValidDescription(s string) bool {
	if len(s) > DescriptionMax {
		return false
	}
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// ValidTagKey reports whether s may be the key of a tag: 1 to 128 letters,
// digits, spaces and _ . / = + - @, not beginning with "aws:" (§1.14).
func ValidTagKey(s string) bool {
	const reserved = "aws:"
	if len(s) >= len(reserved) && strings.EqualFold(s[:len(reserved)], reserved) {
		return false
	}
	return s != "" && validTagText(s, TagKeyMax)
}

// ValidTagValue reports whether s may be the value of a tag: at most 255 of
// the characters of keys (§1.14).
func ValidTagValue(s string) bool { return validTagText(s, TagValueMax) }

func validTagText(s string, charsMax int) bool {
	if !utf8.ValidString(s) || utf8.RuneCountInString(s) > charsMax {
		return false
	}
	for _, r := range s {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.Is(unicode.Zs, r) && !strings.ContainsRune("_./=+-@", r) {
			return false
		}
	}
	return true
}
