# A wind rose of Gullhaven: where the wind came from, and how hard it blew. The observations are simulated.
library(shiny)

points <- c("N", "NNE", "NE", "ENE", "E", "ESE", "SE", "SSE", "S", "SSW", "SW", "WSW", "W", "WNW", "NW", "NNW")
forces <- c("calm to light (0-3)", "moderate (4-5)", "strong (6-7)", "gale (8 and more)")
shades <- c("#cfe8ef", "#7fb7be", "#2a6f97", "#0b3954")

# Knots at which Beaufort forces 1 to 12 begin.
beaufort <- function(knots) findInterval(knots, c(1, 4, 7, 11, 17, 22, 28, 34, 41, 48, 56, 64))

# One season's hourly observations: westerlies mostly, a sea breeze in summer, gales in winter.
observe <- function(season, days) {
  set.seed(match(season, c("spring", "summer", "autumn", "winter")))
  hours <- days * 24
  breeze <- season == "summer" & stats::runif(hours) < 0.4
  degrees <- ifelse(breeze, stats::rnorm(hours, 150, 20), stats::rnorm(hours, 240, 55)) %% 360
  mean_knots <- c(spring = 12, summer = 8, autumn = 15, winter = 19)[[season]]
  data.frame(degrees = degrees, knots = stats::rweibull(hours, shape = 2, scale = mean_knots * 1.13))
}

# Draws one petal a compass point, cut into rings by force; the petal's length is its share of the time.
rose <- function(winds) {
  sector <- factor(points[floor((winds$degrees + 11.25) %% 360 / 22.5) + 1], levels = points)
  force <- cut(beaufort(winds$knots), c(-1, 3, 5, 7, 12), labels = forces)
  share <- table(sector, force) / nrow(winds) * 100
  reach <- max(rowSums(share)) * 1.15
  graphics::par(mar = c(1, 1, 1, 1))
  graphics::plot.new()
  graphics::plot.window(c(-reach, reach), c(-reach, reach), asp = 1)
  for (ring in pretty(c(0, reach), 4)[-1]) {
    graphics::symbols(0, 0, circles = ring, inches = FALSE, add = TRUE, fg = "#d5dde2")
    graphics::text(0, ring, paste0(ring, " %"), col = "#8ba0ad", cex = 0.8)
  }
  for (at in seq_along(points)) {
    from <- 0
    for (level in seq_along(forces)) {
      to <- from + share[at, level]
      petal <- (90 - (at - 1) * 22.5 + seq(-9, 9, by = 1)) * pi / 180
      graphics::polygon(c(from * cos(petal), rev(to * cos(petal))), c(from * sin(petal), rev(to * sin(petal))), col = shades[level], border = "white")
      from <- to
    }
  }
  graphics::text(c(0, reach, 0, -reach) * 0.98, c(reach, 0, -reach, 0) * 0.98, c("N", "E", "S", "W"), font = 2, col = "#0b3954")
  graphics::legend("bottomright", legend = forces, fill = shades, border = NA, bty = "n", title = "Beaufort")
}

ui <- fluidPage(
  titlePanel("Wind rose of Gullhaven"),
  sidebarLayout(
    sidebarPanel(
      selectInput("season", "Season", c("spring", "summer", "autumn", "winter"), selected = "autumn"),
      sliderInput("days", "Days observed", min = 7, max = 90, value = 90),
      textOutput("advice")
    ),
    mainPanel(plotOutput("rose", height = "600px"))
  )
)

server <- function(input, output, session) {
  winds <- reactive(observe(input$season, input$days))
  output$rose <- renderPlot(rose(winds()))
  output$advice <- renderText({
    gales <- mean(beaufort(winds()$knots) >= 8) * 100
    sprintf("Gale force %.1f %% of the time; median %.0f knots.", gales, stats::median(winds()$knots))
  })
}

shinyApp(ui, server)
