using System.Buffers.Binary;
using System.Reflection;
using System.Text;
using CsCheck;
using Fleet.Grains.Serialization;
using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Kernel.Memremap;
using Fleet.Kernel.P2pdma;
using Fleet.Protocol.Machines;
using Fleet.Protocol.Maps;
using Fleet.Protocol.Plans;
using Fleet.Protocol.Refs;
using Fleet.Protocol.Resources;
using Fleet.Protocol.Wire;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Serialization;

namespace Fleet.Grains.Tests;

/// <summary>What travels between processes: frozen names and numbers, and nothing lost on the way.</summary>
[Trait("tier", "fast")]
public sealed class WireContractTests
{
    private static readonly string Packed = typeof(IPackedLayout<>).Name;

    private const string ApprovedFile = "wire-contracts.approved.txt";

    private static readonly At Somewhere = new(3, 17, 2);

    public static TheoryData<object> Records => new(
        new AllocRequest(1, 2, 4096),
        new AllocReply(Errno.ENODEV, Somewhere, 5, 0x1000, 1, -1),
        new FreeRequest(1, 2, 3, 4, 0x2000, 4096),
        new FreeReply(Errno.EFAULT, Somewhere, 1),
        new AccessRequest(1, 2, 3, 4, 5, 6, AccessDirection.Write, AccessVia.Dma, ulong.MaxValue),
        new AccessReply(Errno.ESTALE, Somewhere, 7),
        new TicketReply(9, false, Errno.OK, Somewhere, "a reference"),
        new SlotReport(SlotReport.DeviceSlot, 1, 2, 3, Somewhere),
        new ZeroReply(true, 0, Somewhere),
        new FrontReply(Errno.OK, Somewhere, 1, 2, 3, 4, 5),
        FrontRequest.Of("h/d", new FreeRequest(1, 2, 3, 4, 5, 6)),
        new MapLife(1, 2, "h/d/bar4", 3, 4),
        new MapLife(1, 2, "h/d/range0", 3, 4, MemoryType.FsDax, true),
        new MapRange("map:h/d/bar4", 1, 2),
        new PinRequest(1, 2, 3, 4, 5),
        new PinReply(Errno.ENXIO, Somewhere, 1, PinReply.FirstNumber, 5),
        new UnpinRequest(1, 2, 3, 4),
        new UnpinReply(Errno.EFAULT, Somewhere),
        new PciBar(4, true, 1, 2, -3),
        new FailedBind("dev:h/d", Errno.ENOMEM, null),
        new OpenTicket("dev:h/d", 1, "unbind", 2, "x", true),
        new DeviceCounters(1, 2, 3, 4, 5, 6, 7, 8, 9));

    [Theory]
    [MemberData(nameof(Records))]
    public void A_record_arrives_as_it_was_sent(object record)
    {
        using var services = new ServiceCollection().AddSerializer().BuildServiceProvider();
        var serializer = services.GetRequiredService<Serializer>();
        Assert.Equal(record, serializer.Deserialize<object>(serializer.SerializeToArray(record)));
    }

    [Fact]
    public void Records_of_hot_operations_arrive_alone_and_in_vectors()
    {
        using var services = new ServiceCollection().AddSerializer().BuildServiceProvider();
        var serializer = services.GetRequiredService<Serializer>();
        Arrive(
            Gen.Select(Gen.Long, Gen.Int, Gen.ULong, Gen.Int, Gen.Int).Select(AllocRequestOf), serializer,
            sent => new AllocRequests(sent), vector => vector.Elements);
        Arrive(
            Gen.Select(Errnos, Positions, Gen.Long, Gen.ULong, Gen.Short, Gen.Short)
                .Select((err, at, number, address, resource, owner) =>
                    new AllocReply(err, at, number, address, resource, owner)),
            serializer, sent => sent, vector => vector);
        Arrive(
            Gen.Select(Gen.Long, Gen.Int, Gen.Int, Gen.Long, Gen.ULong, Gen.ULong, Gen.Int)
                .Select((op, session, gen, number, address, size, client) =>
                    new FreeRequest(op, session, gen, number, address, size, client)),
            serializer, sent => new FreeRequests(sent), vector => vector.Elements);
        Arrive(
            Gen.Select(Errnos, Positions, Gen.Short).Select((err, at, owner) => new FreeReply(err, at, owner)),
            serializer, sent => sent, vector => vector);
        Arrive(
            Gen.Select(Gen.Long, Gen.Int, Gen.Long, Gen.ULong, Gen.Int, Gen.Bool, Gen.ULong, Gen.Int)
                .Select((op, gen, number, pfn, pages, isWrite, tag, client) => new AccessRequest(
                    op, client ^ 1, gen, number, pfn, pages,
                    isWrite ? AccessDirection.Write : AccessDirection.Read, isWrite ? AccessVia.Dma : AccessVia.Cpu,
                    tag, client)),
            serializer, sent => new AccessRequests(sent), vector => vector.Elements);
        Arrive(
            Gen.Select(Errnos, Positions, Gen.ULong).Select((err, at, tag) => new AccessReply(err, at, tag)),
            serializer, sent => sent, vector => vector);

        static AllocRequest AllocRequestOf(long op, int session, ulong size, int client, int gen) =>
            new(op, session, size, client, gen);
    }

    [Fact]
    public void A_vector_of_numbers_that_count_up_takes_a_control_word_for_each_record()
    {
        using var services = new ServiceCollection().AddSerializer().BuildServiceProvider();
        var serializer = services.GetRequiredService<Serializer>();
        var few = serializer.SerializeToArray(Requests(64)).Length;
        var many = serializer.SerializeToArray(Requests(128)).Length;
        Assert.Equal(few + (64 * 2), many);

        static AllocRequests Requests(int count) =>
            new([.. Enumerable.Range(0, count).Select(i => new AllocRequest((1L << 40) + i, 7, 4096, 3, 1))]);
    }

    // Goal: a call's requests travel packed too; an argument that is an array is written element by element.
    // Method: no method of a grain takes an array of what has a layout.
    [Fact]
    public void No_call_takes_an_array_of_records_that_could_travel_packed()
    {
        var packed = typeof(AtSurrogate).Assembly.GetTypes().Where(t => t.IsValueType)
            .Select(t => t.GetInterface(Packed)?.GetGenericArguments()[0]).OfType<Type>().ToHashSet();
        Assert.Equal(6, packed.Count);
        Assert.DoesNotContain(
            typeof(IPciDeviceGrain).Assembly.GetTypes().Where(t => t.IsInterface && Alias(t))
                .SelectMany(t => t.GetMethods()).SelectMany(m => m.GetParameters()),
            p => p.ParameterType.GetElementType() is { } element && packed.Contains(element));
    }

    [Fact]
    public void Bytes_that_are_no_vector_are_refused()
    {
        using var services = new ServiceCollection().AddSerializer().BuildServiceProvider();
        var serializer = services.GetRequiredService<Serializer>();
        var bytes = serializer.SerializeToArray(
            new AllocRequests([new AllocRequest(1, 2, 3), new AllocRequest(2, 2, 3)]));
        var length = bytes.AsSpan().IndexOf(new byte[] { 2, 0, 0, 0 });
        foreach (var wrong in new[] { -1, 1, 3, 1000, int.MaxValue })
        {
            BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(length), wrong);
            Assert.Throws<InvalidDataException>(() => serializer.Deserialize<AllocRequests>(bytes));
        }
    }

    [Fact]
    public void Plans_and_reports_arrive_with_their_lists()
    {
        using var services = new ServiceCollection().AddSerializer().BuildServiceProvider();
        var serializer = services.GetRequiredService<Serializer>();
        var host = new HostPlan(
            "h", [new DevicePlan("h/d", "p2pdma", [new PciBar(2, true, 1, 2), new PciBar(4, true, 3, 4)])]);
        var copy = serializer.Deserialize<HostPlan>(serializer.SerializeToArray(host))!;
        Assert.Equal(host.Devices[0].Resources, copy.Devices[0].Resources);
        Assert.Equal(("h", "h/d", "p2pdma"), (copy.Name, copy.Devices[0].Key, copy.Devices[0].Driver));
        var run = new RunPlan(
            "r", "ALL", 7, TimeSpan.FromSeconds(1), 30, [new InjectionPlan("memremap.ram", Errno.ENXIO, 0.5)]);
        var again = serializer.Deserialize<RunPlan>(serializer.SerializeToArray(run))!;
        Assert.Equal(run.Injections, again.Injections);
        Assert.Equal(run, again with { Injections = run.Injections });
    }

    // Goal: no released name or number changes its meaning. Method: the contracts as text, compared with the approved
    // file.
    [Fact]
    public void Names_and_numbers_on_the_wire_are_the_approved_ones()
    {
        if (Environment.GetEnvironmentVariable("FLEET_APPROVE") is "1")
        {
            File.WriteAllText(
                Path.Combine(AppContext.BaseDirectory, "../../../" + ApprovedFile), Contracts());
        }
        else
        {
            Assert.Equal(File.ReadAllText(ApprovedFile).ReplaceLineEndings("\n"), Contracts());
        }
    }

    private static Gen<Errno> Errnos => Gen.Bool.Select(isOk => isOk ? Errno.OK : Errno.ESTALE);

    private static Gen<At> Positions =>
        Gen.Select(Gen.Int, Gen.Long, Gen.Int).Select((gen, seq, life) => new At(gen, seq, life));

    private static void Arrive<T, TVector>(
        Gen<T> records, Serializer serializer, Func<T[], TVector> vectorOf, Func<TVector, T[]> elementsOf) =>
        records.Array[0, 20].Sample(sent =>
        {
            var arrived = serializer.Deserialize<TVector>(serializer.SerializeToArray(vectorOf(sent)));
            Assert.Equal(sent, elementsOf(arrived!));
            foreach (var one in sent)
            {
                Assert.Equal(one, serializer.Deserialize<T>(serializer.SerializeToArray(one)));
            }
        });

    private static string Contracts()
    {
        var text = new StringBuilder();
        var assembly = typeof(AtSurrogate).Assembly;
        foreach (var type in assembly.GetTypes().Where(Alias).OrderBy(AliasOf, StringComparer.Ordinal))
        {
            text.Append(AliasOf(type)).Append('\n');
            if (type.IsInterface)
            {
                foreach (var method in type.GetMethods().OrderBy(m => m.Name, StringComparer.Ordinal))
                {
                    var parameters = string.Join(
                        ", ", method.GetParameters().Select(p => $"{Name(p.ParameterType)} {p.Name}"));
                    var alias = method.GetCustomAttribute<AliasAttribute>()!.Alias;
                    text.Append("  ").Append($"{alias}({parameters}) -> {Name(method.ReturnType)}\n");
                }
            }
            else
            {
                foreach (var field in type.GetProperties().Where(p => p.IsDefined(typeof(IdAttribute)))
                    .OrderBy(p => p.GetCustomAttribute<IdAttribute>()!.Id))
                {
                    text.Append("  ").Append(
                        $"{field.GetCustomAttribute<IdAttribute>()!.Id} {Name(field.PropertyType)} {field.Name}\n");
                }
            }
        }

        foreach (var layout in assembly.GetTypes().Where(t => t.GetInterface(Packed) is not null && t.IsValueType)
            .OrderBy(t => t.Name, StringComparer.Ordinal))
        {
            text.Append(layout.Name).Append("\n  ")
                .Append(layout.GetProperty("Names")!.GetValue(null)).Append('\n');
        }

        return text.ToString();
    }

    private static bool Alias(Type type) =>
        type.IsDefined(typeof(AliasAttribute), false) && AliasOf(type).StartsWith("fleet.", StringComparison.Ordinal)
        && !type.Name.Contains("Invokable", StringComparison.Ordinal);

    private static string AliasOf(Type type) => type.GetCustomAttribute<AliasAttribute>(false)!.Alias;

    private static string Name(Type type) => type.IsGenericType
        ? $"{type.Name[..type.Name.IndexOf('`', StringComparison.Ordinal)]}"
        + $"<{string.Join(", ", type.GetGenericArguments().Select(Name))}>"
        : type.Name;
}
