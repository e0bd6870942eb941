using Fleet.Kernel.History;
using Fleet.Kernel.Memremap;
using Fleet.Kernel.P2pdma;

namespace Fleet.Protocol.Devices;

/// <summary>
/// Makes the objects of one binding, each with its name: freed memory of an earlier life stays freed.
/// </summary>
internal sealed class BindingObjects(DeviceAgent agent, int life) : P2pdmaObjects
{
    private ObjectTable Names => agent.Log.Context.Objects;

    public override PciP2pdma P2pdma() => new()
    {
        Life = life,
        HandleId = Names.Intern($"p2pdma:{agent.Plan.Key}.{life}"),
    };

    public override P2pPool Pool() => new() { Life = life, HandleId = Names.Intern($"pool:{agent.Plan.Key}") };

    public override RefObject SharedRef(PciP2pdma container) =>
        new(container, -1) { Life = life, Handle = agent.NewRef(-1, life) };

    public override P2pPagemap Pagemap(int index, PciBar bar, ulong startAddress, ulong sizeBytes)
    {
        var pagemap = new P2pPagemap(index, bar, startAddress, sizeBytes)
        {
            Life = life,
            HandleId = Names.Intern($"p2p_pgmap:{agent.Plan.ResourceKey(index)}.{life}"),
        };
        pagemap.Map.Handle = agent.NewMap(index, pagemap.Map);
        pagemap.Map.Life = life;
        if (agent.HasRefPerResource)
        {
            pagemap.OwnRef.Handle = agent.NewRef(index, life);
        }

        pagemap.OwnRef.Life = life;
        return pagemap;
    }
}
