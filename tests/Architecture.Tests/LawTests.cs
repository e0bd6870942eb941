using Fleet.Kernel;
using Mono.Cecil;
using Mono.Cecil.Cil;

namespace Fleet.Architecture.Tests;

/// <summary>The law is in one place: nobody but Kernel and Protocol touches a primitive or reads a switch.</summary>
/// <remarks>Read from the compiled code, so neither an alias nor a local function hides anything.</remarks>
[Trait("tier", "fast")]
public sealed class LawTests
{
    private static readonly string[] Primitives =
    [
        "GenPool", "GenPoolChunk", "GenPoolAllocStepper", "GenPoolFreeStepper", "PercpuRef",
        "PercpuRefSwitch", "Devres", "DevresTodo", "Completion", "RcuDomain", "RequestQueueUsage",
    ];

    [Theory]
    [InlineData("Fleet.Checking")]
    [InlineData("Fleet.Storage")]
    [InlineData("Fleet.Contracts")]
    [InlineData("Fleet.Shells")]
    [InlineData("Fleet.Silo")]
    [InlineData("fleet")]
    public void Only_Kernel_and_Protocol_touch_primitives(string assembly) => Assert.Empty(Violations(assembly));

    // Goal: the rule above can fail. Method: this very assembly holds one planted violation.
    [Fact]
    public void A_planted_violation_is_seen() =>
        Assert.Contains(
            Violations("Fleet.Architecture.Tests"), found => found.Contains("Planted", StringComparison.Ordinal));

    [Fact]
    public void Internals_of_the_law_are_open_to_Protocol_and_tests_only()
    {
        foreach (var assembly in new[] { "Fleet.Kernel", "Fleet.Protocol" })
        {
            using var module = Open(assembly);
            var friends = from attribute in module.Assembly.CustomAttributes
                          where attribute.AttributeType.Name == "InternalsVisibleToAttribute"
                          select (string)attribute.ConstructorArguments[0].Value;
            Assert.Empty(friends.Where(
                friend => friend != "Fleet.Protocol" && !friend.EndsWith(".Tests", StringComparison.Ordinal)));
        }
    }

    [Theory]
    [InlineData("Fleet.Kernel")]
    [InlineData("Fleet.Protocol")]
    [InlineData("Fleet.Simulation")]
    public void The_pure_projects_read_no_clock_draw_no_number_and_do_no_IO(string assembly)
    {
        using var module = Open(assembly);
        string[] banned =
        [
            "System.DateTime::get_", "System.DateTimeOffset::get_", "System.TimeProvider::", "System.Random::",
            "System.Guid::NewGuid", "System.Threading.Tasks.Task::Run", "System.Threading.Tasks.Task::Delay",
            "System.IO.File", "System.Net.",
        ];
        // A simulation is driven from outside; what reads a clock there only reports how long it took.
        var calls = from use in Uses(module)
                    where banned.Any(name => use.Target.Contains(name, StringComparison.Ordinal))
                    select $"{use.Method} uses {use.Target}";
        Assert.Empty(calls);
    }

    private static IEnumerable<string> Violations(string assembly)
    {
        using var module = Open(assembly);
        return
        [
            .. (from use in Uses(module)
                where Primitives.Any(name => use.Target.Contains($"Fleet.Kernel.{name}::", StringComparison.Ordinal))
                select $"{use.Method} touches {use.Target}").Distinct(),
        ];
    }

    private static ModuleDefinition Open(string assembly) =>
        ModuleDefinition.ReadModule(Path.Combine(AppContext.BaseDirectory, assembly + ".dll"));

    private static IEnumerable<(string Method, string Target)> Uses(ModuleDefinition module) =>
        from type in module.GetTypes()
        from method in type.Methods
        where method.HasBody
        from instruction in method.Body.Instructions
        where instruction.OpCode.OperandType is OperandType.InlineMethod or OperandType.InlineField
            or OperandType.InlineTok
        let target = instruction.Operand switch
        {
            MemberReference member => member.FullName,
            _ => null,
        }
        where target is not null
        select (method.FullName, target);

    private static class Planted
    {
        public static ulong Violate() => new GenPool(4096).AvailBytes;
    }
}
