"""A small Huawei Cloud: it checks signatures by the published algorithm, pages, throttles, and answers with the documented shapes."""
