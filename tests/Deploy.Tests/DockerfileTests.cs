using System.Text.RegularExpressions;
using System.Xml.Linq;

namespace Fleet.Deploy.Tests;

/// <summary>What can be said of the images without an engine that builds them.</summary>
[Trait("tier", "fast")]
public sealed partial class DockerfileTests
{
    private static readonly string[] Known =
    [
        "FROM", "ARG", "WORKDIR", "COPY", "RUN", "LABEL", "ENV", "EXPOSE", "USER", "VOLUME", "STOPSIGNAL", "ENTRYPOINT",
    ];

    public static TheoryData<string, string> Images => new()
    {
        { "silo", "Silo/Silo.csproj" },
        { "client", "Client/Client.csproj" },
    };

    [Theory]
    [MemberData(nameof(Images))]
    public void Images_have_a_stage_that_builds_and_one_that_runs(string name, string project)
    {
        var file = Read(name);
        Assert.Equal(2, file.Stages.Count);
        Assert.Empty(file.Stages.SelectMany(stage => stage).Select(one => one.Name).Except(Known));
        Assert.Contains(
            file.Stages[0], one => one.Name == "RUN"
                && one.Text.StartsWith($"dotnet publish {project} --configuration Release", StringComparison.Ordinal)
                && one.Words.Contains("-p:PublishReadyToRun=true"));
        Assert.Contains(
            file.Final, one => one.Name == "COPY" && one.Text.StartsWith("--from=build", StringComparison.Ordinal));
    }

    [Theory]
    [MemberData(nameof(Images))]
    public void Images_run_as_a_numbered_user_that_is_not_root(string name, string project)
    {
        Assert.True(File.Exists(Checkout.In(project)));
        var user = Assert.Single(Read(name).Final, one => one.Name == "USER").Text.Split(':');
        Assert.All(user, id => Assert.True(int.Parse(id, System.Globalization.CultureInfo.InvariantCulture) > 0));
    }

    [Theory]
    [MemberData(nameof(Images))]
    public void Base_images_are_pinned_to_the_versions_that_the_repository_builds_with(string name, string project)
    {
        Assert.NotEmpty(project);
        var tags = Read(name).Stages.Select(stage => Tag().Match(stage[0].Text)).ToList();
        Assert.All(tags, tag => Assert.True(tag.Success, tag.Value));
        var sdk = Regex.Match(Checkout.Text("global.json"), @"""version"":\s*""(\d+\.\d+\.\d)").Groups[1].Value;
        Assert.StartsWith(sdk, tags[0].Groups["version"].Value, StringComparison.Ordinal);
        Assert.Equal("dotnet/sdk", tags[0].Groups["image"].Value);
        Assert.StartsWith(sdk[..^1], tags[1].Groups["version"].Value, StringComparison.Ordinal);
    }

    // Goal: a build context holds everything that the projects refer to.
    // Method: the closure of the project references, each of which has to be copied from where it is.
    [Theory]
    [MemberData(nameof(Images))]
    public void Everything_that_is_built_is_copied(string name, string project)
    {
        var copied = Read(name).Stages[0].Where(one => one.Name == "COPY").SelectMany(one => one.Words.SkipLast(1))
            .ToList();
        Assert.Empty(copied.Where(path => !Path.Exists(Checkout.In(path))));
        Assert.Empty(
            from needed in Closure(Checkout.In(project))
            let relative = Path.GetRelativePath(Checkout.Root, needed)
            where !copied.Any(path => relative.StartsWith(path, StringComparison.Ordinal))
            select $"{relative} is not copied");
        var ignored = File.ReadAllLines(Checkout.In(".dockerignore"))
            .Where(line => line.EndsWith('/') && !line.StartsWith('*'));
        Assert.Empty(copied.Where(path => ignored.Any(folder => path.StartsWith(folder, StringComparison.Ordinal))));
    }

    [Theory]
    [MemberData(nameof(Images))]
    public void Entry_points_start_what_was_built(string name, string project)
    {
        var program = Assert.Single(Read(name).Final, one => one.Name == "ENTRYPOINT").Program;
        var assembly = XDocument.Load(Checkout.In(project)).Descendants("AssemblyName").Select(one => one.Value)
            .FirstOrDefault() ?? "Fleet." + Path.GetFileNameWithoutExtension(project);
        Assert.Equal("dotnet", program[0]);
        Assert.Equal(assembly + ".dll", Path.GetFileName(program[1]));
        Assert.True(File.Exists(Path.Combine(AppContext.BaseDirectory, assembly + ".dll")));
    }

    [Fact]
    public void Ports_that_are_exposed_are_those_that_the_silo_is_told()
    {
        var silo = Read("silo");
        var exposed = Assert.Single(silo.Final, one => one.Name == "EXPOSE").Words;
        Assert.Equal(exposed.Order(), silo.Variables().Values.Order());
        Assert.All(silo.Variables(), pair => Assert.Null(ProductOptions.Refusal(pair.Key, pair.Value, _ => null)));
    }

    private static Dockerfile Read(string name) =>
        Dockerfile.Read(Checkout.In("deploy", "docker", name + ".Dockerfile"));

    private static IEnumerable<string> Closure(string project)
    {
        var folder = Path.GetDirectoryName(project)!;
        var document = XDocument.Load(project);
        return document.Descendants("ProjectReference")
            .Select(reference => Path.GetFullPath(Path.Combine(folder, reference.Attribute("Include")!.Value)))
            .SelectMany(Closure)
            .Concat(document.Descendants("EmbeddedResource").Select(resource => resource.Attribute("Include")!.Value)
                .Where(include => include.StartsWith("..", StringComparison.Ordinal))
                .Select(include => Path.GetFullPath(Path.Combine(folder, include))))
            .Append(project)
            .Distinct();
    }

    [GeneratedRegex(@"^mcr\.microsoft\.com/(?<image>dotnet/\w+):(?<version>\d+\.\d+\.\d+)-\w+ AS \w+$")]
    private static partial Regex Tag();
}
