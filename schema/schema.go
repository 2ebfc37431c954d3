// Package schema has the GraphQL schema that is served. It is made from the files *.graphqls, which can be read in any order.
package schema

import _ "embed"

//go:generate sh -c "{ echo '# The whole schema, made from *.graphqls by make generate.'; for file in *.graphqls; do echo; cat \"${DOLLAR}file\"; done; } >schema.graphql"

// Text is the whole schema in one text.
//
//go:embed schema.graphql
var Text string
