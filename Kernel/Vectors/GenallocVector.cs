using System.Text.Json.Nodes;
using static Fleet.Kernel.Vectors.VectorField;

namespace Fleet.Kernel.Vectors;

/// <summary>A <see cref="GenPool"/> driven by a recording.</summary>
internal sealed class GenallocVector : IVectorSubject
{
    private readonly GenPool _pool;

    public GenallocVector(JsonObject header)
    {
        var isWrapping = (string?)header["quirk"] == "int32-size-wrap";
        _pool = new GenPool(
            1UL << (int)Number(header, "min_alloc_order", 0, 63),
            isWrapping ? GenPoolArithmetic.Int32AvailWrap : GenPoolArithmetic.Bits64)
        {
            Algorithm = AlgorithmOf(header),
        };
    }

    public bool Execute(string operation, JsonObject record, JsonObject got)
    {
        switch (operation)
        {
            case "add_owner":
                var owner = (int?)record["owner"];
                var err = _pool.AddOwner(Hex(record, "virt"), Hex(record, "phys"), Hex(record, "size"), owner);
                got["ret"] = -(int)err;
                break;
            case "set_algo":
                _pool.Algorithm = AlgorithmOf(record);
                return true;
            case "alloc":
                Report(_pool.AllocOwner(Hex(record, "size")), got);
                break;
            case "alloc_algo":
                Report(_pool.AllocAlgoOwner(Hex(record, "size"), AlgorithmOf(record)), got);
                break;
            case "dma_alloc":
                Report(_pool.DmaAlloc(Hex(record, "size"), out var busAddress), got);
                got["dma"] = Maybe(busAddress);
                break;
            case "dma_alloc_align":
                var align = GenPoolAlgorithm.FirstFitAlign(unchecked((ulong)Number(record, "align")));
                Report(_pool.DmaAlloc(Hex(record, "size"), align, out var alignedBusAddress), got);
                got["dma"] = Maybe(alignedBusAddress);
                break;
            case "free":
                var free = _pool.FreeOwner(Hex(record, "addr"), Hex(record, "size"));
                if (free.Fault is not GenPoolFault.None)
                {
                    got["bug"] = true;
                    return true;
                }

                got["owner"] = (int?)free.Owner;
                break;
            case "avail":
                got["result"] = Hex(_pool.AvailBytes);
                return true;
            case "size":
                got["result"] = Hex(_pool.SizeBytes);
                return true;
            case "virt_to_phys":
                got["result"] = Hex(_pool.ToBusAddress(Hex(record, "addr")));
                return true;
            case "addr_in_gen_pool":
                got["result"] = _pool.Contains(Hex(record, "start"), Hex(record, "size"));
                return true;
            case "chunks":
                got["chunks"] = Chunks(record["chunks"] as JsonArray);
                return true;
            case "destroy":
                got["bug"] = _pool.Destroy() is not GenPoolFault.None;
                return true;
            default:
                return false;
        }

        got["avail"] = Hex(_pool.AvailBytes);
        return true;
    }

    private static JsonNode? Maybe(ulong? address) => address is { } known ? Hex(known) : null;

    private static GenPoolAlgorithm AlgorithmOf(JsonObject record) => (string?)record["algo"] switch
    {
        null or "first_fit" => GenPoolAlgorithm.FirstFit,
        "best_fit" => GenPoolAlgorithm.BestFit,
        "first_fit_order_align" => GenPoolAlgorithm.FirstFitOrderAlign,
        "first_fit_align" => GenPoolAlgorithm.FirstFitAlign(unchecked((ulong)Number(record, "align"))),
        "fixed" => GenPoolAlgorithm.Fixed(Hex(record, "offset")),
        var other => throw new FormatException($"\"{other}\" is no algorithm."),
    };

    private static void Report(GenPoolAlloc alloc, JsonObject got)
    {
        got["result"] = Maybe(alloc.Address == 0 ? null : alloc.Address);
        got["owner"] = (int?)alloc.Owner;
        if (alloc.Warns > 0)
        {
            got["warn"] = alloc.Warns;
        }

        if (alloc.Fault is not GenPoolFault.None)
        {
            got["bug"] = true;
        }
    }

    private JsonArray Chunks(JsonArray? recorded)
    {
        var list = new JsonArray();
        foreach (var chunk in _pool.Chunks)
        {
            // Recordings leave the runs of very large chunks out.
            var isBusyRecorded = list.Count >= (recorded?.Count ?? 0) || recorded![list.Count]?["busy"] is not null;
            list.Add((JsonNode)new JsonObject
            {
                ["start"] = Hex(chunk.Start),
                ["end"] = Hex(chunk.End),
                ["phys"] = Hex(chunk.Phys),
                ["owner"] = (int?)chunk.Owner,
                ["avail"] = Hex(chunk.AvailBytes),
                ["granules"] = chunk.GranuleCount,
                ["busy"] = isBusyRecorded
                    ? new JsonArray([.. chunk.BusyRuns().Select(run => (JsonNode)new JsonArray(run.First, run.Count))])
                    : null,
            });
        }

        return list;
    }
}
