namespace Fleet.Storage.Results;

/// <summary>The columns of the history tables in the order in which rows are written and read.</summary>
internal static class HistoryTables
{
    /// <summary>Bumped with every change of tables or views that a reader can notice.</summary>
    public const int SchemaVersion = 2;

    public const string OperationColumns =
        "number_code, sent_ns, address, pfn_large, tag, of_number, late_large, took_large, size_large, seq_large, "
        + "alloc_large, late_ns, took_ns, size_bytes, seq, alloc_number, client, obj, gen, life, owner, map, device, "
        + "session, alloc_gen, pages, page, pfn, proc, err";

    public const string EventColumns =
        "seq, time_ns, start_addr, size_bytes, pfn, amount, alloc_number, obj, gen, life, actor, "
            + "other, node, fn, text, "
        + "alloc_device, alloc_gen, proc, from_proc, kind, err, after_count";

    public const string AfterColumns = "seq, after_seq, obj, gen, after_obj, after_gen, after_life, n";
}
