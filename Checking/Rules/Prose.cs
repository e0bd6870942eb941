using System.Globalization;
using Fleet.Checking.Streams;
using Fleet.Kernel.History;

namespace Fleet.Checking.Rules;

/// <summary>The words of a finding: names of things as a reader of the kernel would say them.</summary>
internal static class Prose
{
    public static string Allocation(CheckContext context, in LiveAllocation a)
    {
        var client = a.Client == 0 ? "" : $" of {context.Name(a.Client)}";
        return string.Create(
            CultureInfo.InvariantCulture,
            $"allocation {context.Name(a.Id.Device)}#{a.Id.Gen}#{a.Id.Number}{client} (0x{a.Start:x}, {a.SizeBytes} "
            + $"bytes, made at seq {a.Seq})");
    }

    public static string Access(CheckContext context, in Operation op) => string.Create(
        CultureInfo.InvariantCulture,
        $"the {Via(op)}{Direction(op)} "
        + $"{(op.Number != 0 ? $"(operation {op.Number}) " : "")}"
        + $"{(op.Client != 0 ? $"of {context.Name(op.Client)} " : "")}on page 0x{op.Pfn:x}");

    public static string At(HistoryEvent? record) => record is null
        ? "an unrecorded position"
        : string.Create(CultureInfo.InvariantCulture, $"seq {record.At.Seq}");

    private static string Via(in Operation op) => op.Via switch
    {
        AccessVia.Cpu => "CPU ",
        AccessVia.Dma => "DMA ",
        _ => "",
    };

    private static string Direction(in Operation op) => op.Direction switch
    {
        AccessDirection.Read => "read",
        AccessDirection.Write => "write",
        _ => "access",
    };
}
