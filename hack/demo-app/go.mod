module headgate.dev/hack/demo-app

go 1.24
